"""Gaussians over vectors, and over elements with their best σ."""

from __future__ import annotations

from typing import Any

import torch
from torch import Size, Tensor
from torch.distributions import Distribution, constraints, register_kl

from lowerbound.distributions.base import LOG_2PI, Unvalidated
from lowerbound.divergences import diagonal_gaussian_kl_terms, standard_normal_kl_terms
from lowerbound.errors import ConfigurationError


class StandardNormal(Unvalidated):
    """N(0, I) over vectors, in the shape (*batch, latent) and dtype of the tensor ``like``."""

    support = constraints.real_vector
    has_rsample = True

    def __init__(self, like: Tensor) -> None:
        self.like = like
        super().__init__(like.shape[:-1], like.shape[-1:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        return torch.zeros_like(self.like)

    @property
    def variance(self) -> Tensor:
        return torch.ones_like(self.like)

    def rsample(self, sample_shape: Any = Size()) -> Tensor:
        return self.at(self.noise(sample_shape, self.like))

    def at(self, noise: Tensor) -> Tensor:
        """z from standard normal noise of its shape."""
        return noise.expand(torch.broadcast_shapes(noise.shape, self.like.shape))

    def log_prob(self, value: Tensor) -> Tensor:
        return -0.5 * (value**2 + LOG_2PI).sum(-1)

    def expand(self, batch_shape: Any, _instance: Any = None) -> StandardNormal:
        return StandardNormal(self.like.expand(*batch_shape, *self.event_shape))


class DiagonalNormal(Unvalidated):
    """N(μ, diag σ²) over vectors, from mean and log-variance of shape (*batch, latent)."""

    support = constraints.real_vector
    has_rsample = True

    def __init__(self, mean: Tensor, log_variance: Tensor) -> None:
        self._mean, self.log_variance = mean, log_variance
        super().__init__(mean.shape[:-1], mean.shape[-1:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        return self._mean

    @property
    def variance(self) -> Tensor:
        return self.log_variance.exp()

    @property
    def stddev(self) -> Tensor:
        return (0.5 * self.log_variance).exp()

    def rsample(self, sample_shape: Any = Size()) -> Tensor:
        return self.at(self.noise(sample_shape, self.mean))

    def at(self, noise: Tensor) -> Tensor:
        """z from standard normal noise of its shape."""
        return self.mean + self.stddev * noise

    def log_prob(self, value: Tensor) -> Tensor:
        squared = (value - self.mean) ** 2 * (-self.log_variance).exp()
        return -0.5 * (squared + self.log_variance + LOG_2PI).sum(-1)

    def log_probs(self, value: Tensor) -> Tensor:
        """log N(z; μₖ, diag σₖ²) of each z, (*, latent), under all K, a vector: (*, K), float64.

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


@register_kl(DiagonalNormal, StandardNormal)
def _(q: DiagonalNormal, p: StandardNormal) -> Tensor:
    return kl_terms(q, p).sum(-1)


@register_kl(DiagonalNormal, DiagonalNormal)
def _(q: DiagonalNormal, p: DiagonalNormal) -> Tensor:
    return kl_terms(q, p).sum(-1)


def kl_terms(q: Distribution, p: Distribution) -> Tensor:
    """KL(q ‖ p) for each latent dimension, (*batch, latent), nats; q and p must factorise.

    Raises:
        ConfigurationError: q or p has no known factorisation over dimensions.
    """
    if isinstance(q, DiagonalNormal) and isinstance(p, StandardNormal):
        return standard_normal_kl_terms(q.mean, q.log_variance)
    if isinstance(q, DiagonalNormal) and isinstance(p, DiagonalNormal):
        return diagonal_gaussian_kl_terms(q.mean, q.log_variance, p.mean, p.log_variance)
    raise ConfigurationError(
        "expected a posterior and a prior that factorise over latent dimensions, got "
        f"{type(q).__name__} and {type(p).__name__}; a KL per dimension is not defined for them"
    )


class OptimalNormal(Unvalidated):
    """N(μ, σ*²) elementwise, with σ*² = mean (x − μ)² of the batch that `log_prob` is given.

    At σ* the derivative of the mean log p(x|z) by σ is zero, so the ELBO's gradient may take σ* as
    a constant.  `log_prob` also averages σ*² into ``running_variance``, for use once training is
    over; ``batches`` counts them, and the mean of all is taken while they are few.

    Source: Rybkin, Daniilidis & Levine, Simple and effective VAE training with calibrated
    decoders, 2020, arXiv 2006.13202.
    """

    support = constraints.real

    def __init__(
        self, mean: Tensor, running_variance: Tensor, batches: Tensor, momentum: float = 0.05
    ) -> None:
        self._mean, self.running_variance = mean, running_variance
        self.batches, self.momentum = batches, momentum
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
        self.batches += 1
        weight = (1 / self.batches).clamp(min=self.momentum)
        self.running_variance.lerp_(optimum.to(self.running_variance), weight)
        return -0.5 * (squared / optimum + optimum.log() + LOG_2PI)

    def sample(self, sample_shape: Any = Size()) -> Tensor:
        return self.mean + self.running_variance.sqrt() * self.noise(sample_shape, self.mean)
