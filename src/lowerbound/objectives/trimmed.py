"""An objective that outliers among the training examples do not bend."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lowerbound.errors import ConfigurationError
from lowerbound.objectives.bounds import ELBO, Objective, Terms
from lowerbound.parts import part
from lowerbound.schedules import Schedule, value_at
from lowerbound.vae import VAE

PLAIN = ELBO()
ROUNDING = 1e-6  # 0.29 * 100 is a little below 29, and more so in float32


@part
@dataclass(frozen=True)
class Trimmed(Objective):
    """n/m Σ over the m = n − ⌊α n⌋ highest of a batch's n ELBOs: trimmed maximum likelihood.

    The other examples count for nothing, in training and validation, so that those unlike the rest
    draw no density to themselves. As what is left out follows from the model, there is no bound.

    Args:
        share: α, what is left out, at least 0 and below 1, or its schedule.  Of a model that has
            seen nothing the lowest are lowest by chance: let α rise from 0 once the first steps
            are done.

    Source: Hadi & Luceño, Maximum trimmed likelihood estimators, 1997.
    """

    share: float | Schedule = 0.2

    def __post_init__(self) -> None:
        if not 0 <= value_at(self.share, math.inf) < 1:
            raise ConfigurationError(
                f"expected a share to leave out of at least 0 and below 1, got {self.share}"
            )

    def __call__(
        self, model: VAE, x: Tensor, context: Tensor | None = None, time: float = math.inf
    ) -> Terms:
        terms = PLAIN(model, x, context, time)
        elbo, n = terms.objective, len(x)
        most = value_at(self.share, time) * (1 + ROUNDING) * n
        rank = elbo.detach().argsort().argsort() + 1
        kept = (rank > most) | (rank == n)
        trimmed = torch.where(kept, elbo * n / kept.sum(), 0.0)
        return replace(terms, objective=trimmed, bound=None)
