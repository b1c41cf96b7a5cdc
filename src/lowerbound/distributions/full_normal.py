"""Gaussians over vectors whose dimensions are correlated."""

from __future__ import annotations

from typing import Any

import torch
from torch import Size, Tensor
from torch.distributions import Distribution, constraints, register_kl

from lowerbound.distributions.base import LOG_2PI, Unvalidated
from lowerbound.distributions.gaussian import DiagonalNormal, StandardNormal
from lowerbound.divergences import cholesky_gaussian_kl


class FullNormal(Unvalidated):
    """N(μ, L Lᵀ) over vectors, from μ, (*batch, d), and lower triangular L, (*batch, d, d)."""

    support = constraints.real_vector
    has_rsample = True

    def __init__(self, mean: Tensor, L: Tensor) -> None:
        self._mean, self.L = mean, L
        super().__init__(mean.shape[:-1], mean.shape[-1:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        return self._mean

    @property
    def variance(self) -> Tensor:
        return self.L.square().sum(-1)

    @property
    def covariance(self) -> Tensor:
        return self.L @ self.L.mT

    def rsample(self, sample_shape: Any = Size()) -> Tensor:
        return self.at(self.noise(sample_shape, self.mean))

    def at(self, noise: Tensor) -> Tensor:
        """z from standard normal noise of its shape."""
        return self.mean + (self.L @ noise.unsqueeze(-1)).squeeze(-1)

    def log_prob(self, value: Tensor) -> Tensor:
        """−½ (‖L⁻¹(z − μ)‖² + d log 2π) − Σᵢ log Lᵢᵢ; samples are columns of one solve."""
        difference = value - self.mean
        samples = difference.shape[: difference.ndim - self.mean.ndim]
        columns = difference.reshape(-1, *self.mean.shape).movedim(0, -1)
        squared = torch.linalg.solve_triangular(self.L, columns, upper=False).square().sum(-2)
        squared = squared.movedim(-1, 0).reshape(*samples, *self.batch_shape)
        log_diagonal = self.L.diagonal(dim1=-2, dim2=-1).log()
        return -0.5 * squared - (log_diagonal + 0.5 * LOG_2PI).sum(-1)

    def detach(self) -> FullNormal:
        """The same distribution, with no gradient to its parameters."""
        return FullNormal(self.mean.detach(), self.L.detach())


@register_kl(FullNormal, FullNormal)
@register_kl(FullNormal, DiagonalNormal)
@register_kl(FullNormal, StandardNormal)
@register_kl(DiagonalNormal, FullNormal)
def _(q: Distribution, p: Distribution) -> Tensor:
    return cholesky_gaussian_kl(q.mean, _factor(q), p.mean, _factor(p))


def _factor(normal: Distribution) -> Tensor:
    """L of the covariance L Lᵀ."""
    return normal.L if isinstance(normal, FullNormal) else normal.stddev.diag_embed()
