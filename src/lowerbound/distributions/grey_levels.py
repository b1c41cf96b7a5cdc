"""Distributions over the L grey levels k/(L − 1), elementwise."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Size, Tensor
from torch.distributions import Categorical, constraints

from lowerbound.distributions.base import Unvalidated
from lowerbound.distributions.special import log_gamma_draw, log_rising


class GreyDistribution(Unvalidated, ABC):
    """A distribution over the L grey levels 0, 1/(L − 1), …, 1."""

    support = constraints.unit_interval
    levels: int

    @abstractmethod
    def level_log_probs(self) -> Float[Tensor, "*batch levels"]:
        """log P of every level."""

    def index(self, value: Tensor) -> Tensor:
        """The level k of the value k/(L − 1), as a number."""
        return (value * (self.levels - 1)).round()


class GreyLevels(GreyDistribution):
    """A categorical distribution over the levels, from logits of shape (*batch, L)."""

    def __init__(self, logits: Tensor) -> None:
        self.logits, self.levels = logits, logits.shape[-1]
        super().__init__(logits.shape[:-1], validate_args=False)

    def level_log_probs(self) -> Tensor:
        return F.log_softmax(self.logits, -1)

    def log_prob(self, value: Tensor) -> Tensor:
        index = self.index(value).long().unsqueeze(-1)
        log_p = self.level_log_probs()
        shape = torch.broadcast_shapes(index.shape[:-1], log_p.shape[:-1])
        return log_p.expand(*shape, -1).gather(-1, index.expand(*shape, 1)).squeeze(-1)

    def sample(self, sample_shape: Any = Size()) -> Tensor:
        index = Categorical(logits=self.logits, validate_args=False).sample(sample_shape)
        return index / (self.levels - 1)

    @property
    def mean(self) -> Tensor:
        return F.softmax(self.logits, -1) @ self._values

    @property
    def variance(self) -> Tensor:
        return F.softmax(self.logits, -1) @ self._values**2 - self.mean**2

    @property
    def _values(self) -> Tensor:
        return torch.linspace(0, 1, self.levels, dtype=self.logits.dtype, device=self.logits.device)


class BetaBinomial(GreyDistribution):
    """k of n = L − 1 with a probability drawn from Beta(α, β), elementwise in log α and log β.

    P(k) = C(n, k) B(k + α, n − k + β)/B(α, β).
    """

    def __init__(self, log_alpha: Tensor, log_beta: Tensor, levels: int = 256) -> None:
        self.log_alpha, self.log_beta, self.levels = log_alpha, log_beta, levels
        super().__init__(log_alpha.shape, validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        n = self.levels - 1
        k = self.index(value).double()
        alpha, beta = self.log_alpha.double().exp(), self.log_beta.double().exp()
        log_p = (
            _log_choose(n, k)
            + log_rising(alpha, k)
            + log_rising(beta, n - k)
            - log_rising(alpha + beta, n)
        )
        return log_p.to(self.log_alpha.dtype)

    def level_log_probs(self) -> Tensor:
        """From P(k + 1)/P(k) = (n − k)/(k + 1) · (α + k)/(β + n − 1 − k), which needs no log Γ."""
        n = self.levels - 1
        k = torch.arange(n, dtype=self.log_alpha.dtype, device=self.log_alpha.device)
        steps = (
            torch.logaddexp(self.log_alpha.unsqueeze(-1), k.log())
            - torch.logaddexp(self.log_beta.unsqueeze(-1), k.flip(0).log())
            + ((n - k) / (k + 1)).log()
        )
        return F.log_softmax(F.pad(steps.cumsum(-1), (1, 0)), -1)

    def sample(self, sample_shape: Any = Size()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        log_odds = log_gamma_draw(self.log_alpha.double().exp(), shape) - log_gamma_draw(
            self.log_beta.double().exp(), shape
        )
        n = torch.full_like(log_odds, self.levels - 1)
        return (torch.binomial(n, log_odds.sigmoid()) / n).to(self.log_alpha.dtype)

    @property
    def mean(self) -> Tensor:
        """α/(α + β)."""
        return torch.sigmoid(self.log_alpha - self.log_beta)

    @property
    def variance(self) -> Tensor:
        """p (1 − p) (α + β + n)/((α + β + 1) n), p the mean."""
        n, p = self.levels - 1, self.mean
        total = self.log_alpha.exp() + self.log_beta.exp()
        return p * (1 - p) * ((total + n) / (total + 1)) / n


def _log_choose(n: int, k: Tensor) -> Tensor:
    """log n!/(k! (n − k)!)."""
    return torch.lgamma(k.new_tensor(n + 1.0)) - torch.lgamma(k + 1) - torch.lgamma(n - k + 1)
