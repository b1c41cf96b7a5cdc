"""Gaussians: over elements, over vectors, and over elements with their best σ."""

from __future__ import annotations

from typing import Any

import torch
from torch import Size, Tensor
from torch.distributions import Distribution, Independent, constraints, register_kl

from lowerbound.distributions.base import LOG_2PI, Unvalidated
from lowerbound.divergences import (
    cholesky_gaussian_kl,
    diagonal_gaussian_kl_terms,
    marginals,
    standard_normal_kl_terms,
)


class Normal(torch.distributions.Normal):
    """N(μ, σ²) elementwise, from ``mean`` = μ and ``log_variance`` = log σ², of one shape."""

    def __init__(self, mean: Tensor, log_variance: Tensor) -> None:
        self.loc, self.log_variance = mean, log_variance
        Distribution.__init__(self, mean.shape, validate_args=False)

    @property
    def scale(self) -> Tensor:  # type: ignore[override]
        """σ."""
        return (0.5 * self.log_variance).exp()

    @property
    def variance(self) -> Tensor:
        return self.log_variance.exp()

    def sample(self, sample_shape: Any = Size()) -> Tensor:
        with torch.no_grad():
            return self.rsample(sample_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        return -0.5 * self.deviance(value)

    def deviance(self, value: Tensor) -> Tensor:
        """−2 log p(x) = (x − μ)²/σ² + log σ² + log 2π, of the ``value`` x."""
        squared = (value - self.loc) ** 2 * (-self.log_variance).exp()
        return squared + self.log_variance + LOG_2PI


class UnitNormal(Normal):
    """N(0, 1) elementwise, in the shape and dtype of the tensor ``like``."""

    def __init__(self, like: Tensor) -> None:
        zero = like.new_zeros(()).expand(like.shape)
        super().__init__(zero, zero)

    def deviance(self, value: Tensor) -> Tensor:
        return value**2 + LOG_2PI


@register_kl(Normal, UnitNormal)
def _(q: Normal, p: UnitNormal) -> Tensor:
    return standard_normal_kl_terms(q.loc, q.log_variance)


@register_kl(Normal, Normal)
def _(q: Normal, p: Normal) -> Tensor:
    return diagonal_gaussian_kl_terms(q.loc, q.log_variance, p.loc, p.log_variance)


class DiagonalNormal(Independent):  # type: ignore[type-arg]
    """N(μ, diag σ²) over vectors, from ``mean`` and ``log_variance``, (*batch, latent) each."""

    base_dist: Normal

    def __init__(self, mean: Tensor, log_variance: Tensor) -> None:
        super().__init__(Normal(mean, log_variance), 1, validate_args=False)

    @property
    def log_variance(self) -> Tensor:
        """log σ², (*batch, latent)."""
        return self.base_dist.log_variance

    @property
    def stddev(self) -> Tensor:
        return self.base_dist.scale

    @property
    def L(self) -> Tensor:
        """The Cholesky factor of the covariance, (*batch, latent, latent)."""
        return self.stddev.diag_embed()

    def at(self, noise: Tensor) -> Tensor:
        """z from standard normal noise of its shape."""
        return self.mean + self.stddev * noise

    def log_prob(self, value: Tensor) -> Tensor:
        return -0.5 * self.base_dist.deviance(value).sum(-1)

    def log_probs(self, value: Tensor) -> Tensor:
        """log N(z; μₖ, diag σₖ²) of each ``value`` z under all K of the batch: (*, K), float64.

        Σ (z − μ)²/σ² = z²·(1/σ²) − 2 z·(μ/σ²) + Σ μ²/σ² makes all pairs a product of matrices.  The
        three sums may nearly cancel, which in float64 leaves an error near 10⁻¹⁶ Σ z²/σ².
        """
        z, mean, log_variance = value.double(), self.mean.double(), self.log_variance.double()
        precision = (-log_variance).exp()
        constant = (mean**2 * precision + log_variance + LOG_2PI).sum(-1)
        return -0.5 * (z**2 @ precision.mT - 2 * z @ (mean * precision).mT + constant)

    def expand(self, batch_shape: Any, _instance: Any = None) -> DiagonalNormal:
        shape = (*batch_shape, *self.event_shape)
        return DiagonalNormal(self.mean.expand(shape), self.log_variance.expand(shape))

    def detach(self) -> DiagonalNormal:
        """The same distribution, with no gradient to its parameters."""
        return DiagonalNormal(self.mean.detach(), self.log_variance.detach())


class StandardNormal(DiagonalNormal):
    """N(0, I) over vectors, in the shape (*batch, latent) and dtype of the tensor ``like``."""

    def __init__(self, like: Tensor) -> None:
        Independent.__init__(self, UnitNormal(like), 1, validate_args=False)

    def expand(self, batch_shape: Any, _instance: Any = None) -> StandardNormal:
        return StandardNormal(self.mean.expand(*batch_shape, *self.event_shape))


def as_diagonal(q: Distribution) -> DiagonalNormal | None:
    """q in log-variances where it is a diagonal Gaussian, in whatever form; else None."""
    if isinstance(q, DiagonalNormal):
        return q
    each = marginals(q)
    if isinstance(each, torch.distributions.Normal):
        return DiagonalNormal(each.loc, 2 * each.scale.log())
    return None


class FullNormal(Unvalidated):
    """N(μ, L Lᵀ) over vectors.

    Args:
        mean: μ, (*batch, d).
        L: lower triangular, (*batch, d, d).
    """

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
        """L Lᵀ, (*batch, d, d)."""
        return self.L @ self.L.mT

    def rsample(self, sample_shape: Any = Size()) -> Tensor:
        return self.at(self.noise(sample_shape, self.mean))

    def at(self, noise: Tensor) -> Tensor:
        """z from standard normal noise of its shape."""
        return self.mean + (self.L @ noise.unsqueeze(-1)).squeeze(-1)

    def log_prob(self, value: Tensor) -> Tensor:
        """−½ (‖L⁻¹(z − μ)‖² + d log 2π) − Σᵢ log Lᵢᵢ of the ``value`` z, (*samples, *batch, d).

        Samples are columns of one solve.
        """
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
@register_kl(DiagonalNormal, FullNormal)
def _(q: FullNormal | DiagonalNormal, p: FullNormal | DiagonalNormal) -> Tensor:
    return cholesky_gaussian_kl(q.mean, q.L, p.mean, p.L)


class OptimalNormal(Unvalidated):
    """N(μ, σ*²) elementwise, with σ*² = mean (x − μ)² of the batch that `log_prob` is given.

    At σ* the derivative of the mean log p(x|z) by σ is zero, so the ELBO's gradient may take σ* as
    a constant.

    Args:
        mean: μ.
        running_variance: of draws, of which no x is known; a number.

    Source: Rybkin, Daniilidis & Levine, Simple and effective VAE training with calibrated
    decoders, 2020, arXiv 2006.13202.
    """

    support = constraints.real

    def __init__(self, mean: Tensor, running_variance: Tensor) -> None:
        self._mean, self.running_variance = mean, running_variance
        super().__init__(mean.shape, validate_args=False)

    @property
    def mean(self) -> Tensor:
        return self._mean

    @property
    def variance(self) -> Tensor:
        return self.running_variance.expand_as(self.mean)

    def log_prob(self, value: Tensor) -> Tensor:
        squared = (value - self.mean) ** 2
        optimum = squared.detach().mean()
        return -0.5 * (squared / optimum + optimum.log() + LOG_2PI)

    def sample(self, sample_shape: Any = Size()) -> Tensor:
        return self.mean + self.running_variance.sqrt() * self.noise(sample_shape, self.mean)
