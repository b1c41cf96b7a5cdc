"""An objective."""

import math
from dataclasses import dataclass

import torch

import lowerbound as lb
from lowerbound.errors import ConfigurationError
from lowerbound.objectives import Objective, Terms


@lb.part
@dataclass(frozen=True)
class Jackknife(Objective):
    """k L_k − (k − 1) mean L_{k−1}: the importance-weighted bound L_k with less bias.

    Source: Nowozin, Debiasing evidence approximations, 2018.
    """

    samples: int = 8

    def __post_init__(self) -> None:
        if self.samples < 2:
            raise ConfigurationError(f"expected two samples or more, got {self.samples}")

    def __call__(
        self,
        model: lb.VAE,
        x: torch.Tensor,
        context: torch.Tensor | None = None,
        time: float = math.inf,
    ) -> Terms:
        d, k = model.draws(x, self.samples, context), self.samples
        bound = d.log_w.logsumexp(0) - math.log(k)
        each = torch.eye(k, dtype=torch.bool, device=x.device).unsqueeze(-1)
        others = d.log_w.masked_fill(each, -math.inf).logsumexp(1) - math.log(k - 1)
        objective = k * bound - (k - 1) * others.mean(0)
        return Terms(objective, -d.log_likelihood.mean(0), bound, d.kl)
