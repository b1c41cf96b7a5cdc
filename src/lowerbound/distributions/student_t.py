"""Student's t distribution, exact up to its Gaussian limit."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Size, Tensor
from torch.distributions import constraints

from lowerbound.distributions.base import Unvalidated
from lowerbound.distributions.special import log_gamma_draw, log_rising


class StudentT(Unvalidated):
    """p(x) ∝ (1 + (x − μ)²/(νσ²))^(−(ν + 1)/2), elementwise in μ, log σ and ν > 1.

    Its mean is μ and its variance σ² ν/(ν − 2), infinite where ν ≤ 2.
    """

    support = constraints.real

    def __init__(self, location: Tensor, log_scale: Tensor, degrees: Tensor) -> None:
        self.location, self.log_scale, self.degrees = torch.broadcast_tensors(
            location, log_scale, degrees
        )
        super().__init__(self.location.shape, validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        nu = self.degrees
        squared = ((value - self.location) * (-self.log_scale).exp()) ** 2
        normaliser = log_rising(nu / 2, 0.5).to(nu.dtype) - 0.5 * (math.pi * nu).log()
        return normaliser - self.log_scale - 0.5 * (nu + 1) * torch.log1p(squared / nu)

    def sample(self, sample_shape: Any = Size()) -> Tensor:
        """μ + σ ε √(ν/2g), ε ~ N(0, 1), g ~ Gamma(ν/2, 1)."""
        shape = self._extended_shape(sample_shape)
        log_ratio = (self.degrees / 2).log() - log_gamma_draw(self.degrees / 2, shape)
        scale = (0.5 * log_ratio).exp().to(self.location.dtype) * self.log_scale.exp()
        return self.location + scale * self.noise(sample_shape, self.location)

    @property
    def mean(self) -> Tensor:
        return self.location

    @property
    def variance(self) -> Tensor:
        nu = self.degrees
        ratio = torch.where(nu > 2, nu / (nu - 2), math.inf)
        return ratio * (2 * self.log_scale).exp()
