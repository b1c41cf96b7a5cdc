"""The continuous Bernoulli, exact for every natural parameter."""

from __future__ import annotations

from typing import Any

import torch
from torch import Size, Tensor
from torch.distributions import constraints

from lowerbound.distributions.base import Unvalidated


class ContinuousBernoulli(Unvalidated):
    """p(x) = exp(η x − A(η)) on [0, 1], with A(η) = log((e^η − 1)/η), elementwise in η.

    The natural parameter η is the logit.  torch's own version clamps λ = sigmoid(η) in float32,
    which bounds η by about ±16; dark pixels want η ≈ −500.  Here every η is exact.

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
        """x = 1 + log(u + (1 − u) e^−η)/η for η > 0, mirrored for η < 0.

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
