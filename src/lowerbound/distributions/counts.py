"""Distributions over counts 0, 1, 2, …, elementwise; probabilities in float64 until the end."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Size, Tensor
from torch.distributions import constraints

from lowerbound.distributions.base import Unvalidated
from lowerbound.distributions.special import log_gamma_draw, log_rising


class Poisson(Unvalidated):
    """P(k) = μ^k e^−μ/k!, in log μ.

    log P(k) is −∞ where μ exceeds the largest number of log μ's dtype, as float32's log μ > 88.7
    does.  Its gradient by log μ is k − μ, with μ at most that number: finite, so that a sample of
    no weight adds 0 to a gradient, and not NaN.
    """

    support = constraints.nonnegative_integer

    def __init__(self, log_mean: Tensor) -> None:
        self.log_mean = log_mean
        super().__init__(log_mean.shape, validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        k, log_mean = value.double(), self.log_mean.double()
        largest = math.log(torch.finfo(self.log_mean.dtype).max)
        # μ, and beyond the largest number its tangent there
        mean = log_mean.clamp(max=largest).exp() * (1 + (log_mean - largest).relu())
        log_p = k * log_mean - mean - torch.lgamma(k + 1)
        return log_p.to(self.log_mean.dtype)

    def sample(self, sample_shape: Any = Size()) -> Tensor:
        return torch.poisson(self.log_mean.exp().expand(self._extended_shape(sample_shape)))

    @property
    def mean(self) -> Tensor:
        return self.log_mean.exp()

    @property
    def variance(self) -> Tensor:
        return self.mean


class NegativeBinomial(Unvalidated):
    """P(k) = Γ(k + r)/(Γ(r) k!) (r/(r + μ))^r (μ/(r + μ))^k, in log μ and log r.

    The Poisson distribution whose rate is drawn from a Gamma distribution of mean μ and shape r:
    its variance is μ + μ²/r, and it becomes the Poisson distribution as the dispersion r grows.
    """

    support = constraints.nonnegative_integer

    def __init__(self, log_mean: Tensor, log_dispersion: Tensor) -> None:
        self.log_mean, self.log_dispersion = torch.broadcast_tensors(log_mean, log_dispersion)
        super().__init__(self.log_mean.shape, validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        k, log_r = value.double(), self.log_dispersion.double()
        log_odds = self.log_mean.double() - log_r  # of μ/(r + μ)
        r = log_r.exp()
        log_p = (
            log_rising(r, k)
            - torch.lgamma(k + 1)
            + r * F.logsigmoid(-log_odds)
            + k * F.logsigmoid(log_odds)
        )
        return log_p.to(self.log_mean.dtype)

    def sample(self, sample_shape: Any = Size()) -> Tensor:
        log_rate = self.log_mean - self.log_dispersion.double()
        draw = log_gamma_draw(
            self.log_dispersion.double().exp(), self._extended_shape(sample_shape)
        )
        return torch.poisson((log_rate + draw).exp()).to(self.log_mean.dtype)

    @property
    def mean(self) -> Tensor:
        return self.log_mean.exp()

    @property
    def variance(self) -> Tensor:
        return self.mean + (2 * self.log_mean - self.log_dispersion).exp()


class ZeroInflated(Unvalidated):
    """0 with probability π, else a draw of ``counts``; elementwise in the logit of π.

    P(0) = π + (1 − π) P′(0), and P(k) = (1 − π) P′(k) for k > 0.
    """

    support = constraints.nonnegative_integer

    def __init__(self, logits: Tensor, counts: Poisson | NegativeBinomial) -> None:
        self.logits, self.counts = logits, counts
        super().__init__(logits.shape, validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        present = F.logsigmoid(-self.logits) + self.counts.log_prob(value)
        return torch.where(value == 0, torch.logaddexp(F.logsigmoid(self.logits), present), present)

    def sample(self, sample_shape: Any = Size()) -> Tensor:
        absent = torch.bernoulli(self.logits.sigmoid().expand(self._extended_shape(sample_shape)))
        return self.counts.sample(sample_shape) * (1 - absent)

    @property
    def mean(self) -> Tensor:
        return torch.sigmoid(-self.logits) * self.counts.mean

    @property
    def variance(self) -> Tensor:
        """(1 − π)(σ² + π μ²), with the mean and variance of ``counts``."""
        absent, mean = self.logits.sigmoid(), self.counts.mean
        return (1 - absent) * (self.counts.variance + absent * mean**2)
