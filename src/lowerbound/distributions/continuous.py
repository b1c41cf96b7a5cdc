"""Distributions over real numbers and over [0, 1], elementwise."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Size, Tensor
from torch.distributions import constraints
from torch.nn import functional as F

from lowerbound.distributions.base import Unvalidated, log_gamma_draw, log_rising

MOST_DEGREES = 1e100  # where t is the Gaussian, to the last digit of float64
LINEAR = 40.0  # log(1 + e^l) = l from here on, to the last digit of float64


class Bernoulli(torch.distributions.Bernoulli):
    """log p(b) = b l − log(1 + e^l), from the logits l; its arguments are those of torch's own.

    That one takes twice the time, and keeps no digit of log(1 − p) ≈ −e^l where l is far below
    0, as in most pixels of an image on black; here white ones lose them, by at most 10⁻⁶ nats each.
    """

    def log_prob(self, value: Tensor) -> Tensor:
        return torch.addcmul(-F.softplus(self.logits, threshold=LINEAR), value, self.logits)


class ContinuousBernoulli(Unvalidated):
    """p(x) = exp(η x − A(η)) on [0, 1], with A(η) = log((e^η − 1)/η), elementwise in η.

    The natural parameters η are the ``logits``.  torch's own version clamps λ = sigmoid(η) in
    float32, which bounds η by about ±16; dark pixels want η ≈ −500.  Here every η is exact.

    Source: Loaiza-Ganem & Cunningham, The continuous Bernoulli, 2019, arXiv 1907.06845.
    """

    support = constraints.unit_interval
    has_rsample = True

    def __init__(self, logits: Tensor) -> None:
        self.logits = logits
        super().__init__(logits.shape, validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        return self.logits * value - self.log_normalizer

    @property
    def log_normalizer(self) -> Tensor:
        """A(η) = max(η, 0) + log((1 − e^−|η|)/|η|); near 0, η/2 + η²/24 − η⁴/2880 + …."""
        eta, small = self.logits, self._small
        safe = torch.where(small, 1.0, eta.abs())
        exact = eta.clamp(min=0) + (-torch.expm1(-safe)).log() - safe.log()
        series = eta / 2 + eta**2 / 24 - eta**4 / 2880 + eta**6 / 181440
        return torch.where(small, series, exact)

    @property
    def mean(self) -> Tensor:
        """A′(η) = 1/(1 − e^−η) − 1/η; near 0, ½ + η/12 − η³/720 + …."""
        eta, small = self.logits, self._small
        safe = torch.where(small, 1.0, eta.abs())
        upper = -1 / torch.expm1(-safe) - 1 / safe
        exact = torch.where(eta > 0, upper, 1 - upper)
        series = 0.5 + eta / 12 - eta**3 / 720 + eta**5 / 30240
        return torch.where(small, series, exact)

    @property
    def variance(self) -> Tensor:
        """A″(η) = 1/η² − 1/(4 sinh²(η/2)); near 0, 1/12 − η²/240 + …."""
        eta, small = self.logits, self._small
        safe = torch.where(small, 1.0, eta.abs())
        # 4 sinh²(η/2) = e^η (1 − e^−η)²
        exact = safe**-2 - (-safe).exp() / torch.expm1(-safe) ** 2
        series = 1 / 12 - eta**2 / 240 + eta**4 / 6048
        return torch.where(small, series, exact)

    def rsample(self, sample_shape: Any = Size()) -> Tensor:
        """x = 1 + log(u + (1 − u) e^−η)/η for η > 0, mirrored for η < 0; u ~ U(0, 1).

        Near 0, u + η u(1 − u)/2 + η² u(1 − u)(1 − 2u)/6 + ….
        """
        shape = self._extended_shape(sample_shape)
        u = torch.rand(shape, dtype=self.logits.dtype, device=self.logits.device)
        eta, small = self.logits, self._small
        safe = torch.where(small, 1.0, eta.abs())
        upper = 1 + (u + (1 - u) * (-safe).exp()).log() / safe
        upper = upper.clamp(0, 1)
        spread = u * (1 - u)
        series = u + eta * spread / 2 + eta**2 * spread * (1 - 2 * u) / 6
        return torch.where(small, series, torch.where(eta > 0, upper, 1 - upper))

    def expand(self, batch_shape: Any, _instance: Any = None) -> ContinuousBernoulli:
        return ContinuousBernoulli(self.logits.expand(batch_shape))

    @property
    def _small(self) -> Tensor:
        return self.logits.abs() < 0.1


class StudentT(Unvalidated):
    """p(x) ∝ (1 + (x − μ)²/(νσ²))^(−(ν + 1)/2), elementwise.

    Its mean is μ and its variance σ² ν/(ν − 2), infinite where ν ≤ 2.

    Args:
        location: μ.
        log_scale: log σ, of a shape that broadcasts with μ's.
        degrees: ν > 1, likewise.
    """

    support = constraints.real

    def __init__(self, location: Tensor, log_scale: Tensor, degrees: Tensor) -> None:
        self.location, self.log_scale, self.degrees = torch.broadcast_tensors(
            location, log_scale, degrees
        )
        super().__init__(self.location.shape, validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        nu = self.degrees.double().clamp(max=MOST_DEGREES)
        log_scale, distance = self.log_scale.double(), (value.double() - self.location).abs()
        at_mode = distance == 0
        # log t², t² = (x − μ)²/(νσ²), which itself may exceed the largest number
        log_t2 = 2 * torch.where(at_mode, 1.0, distance).log() - 2 * log_scale - nu.log()
        tail = torch.where(at_mode, 0.0, F.softplus(log_t2, threshold=LINEAR))
        normaliser = log_rising(nu / 2, 0.5) - 0.5 * (math.pi * nu).log()
        log_p = normaliser - log_scale - 0.5 * (nu + 1) * tail
        return log_p.to(self.location.dtype)

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
