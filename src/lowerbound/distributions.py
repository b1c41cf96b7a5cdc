"""Distributions that torch.distributions lacks, each with its KL where one is known.

None validates its arguments inside a forward pass: that would synchronise devices and break
compilation.  Parts check shapes once, where a user's value enters.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Size, Tensor
from torch.distributions import Categorical, Distribution, constraints, register_kl

from lowerbound.divergences import diagonal_gaussian_kl_terms, standard_normal_kl_terms
from lowerbound.errors import ConfigurationError

LOG_2PI = math.log(2 * math.pi)


class Unvalidated(Distribution):
    """A distribution whose parameters torch does not check."""

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}

    def noise(self, sample_shape: Any, like: Tensor) -> Tensor:
        """Standard normal noise of the shape of a sample."""
        shape = self._extended_shape(sample_shape)
        return torch.randn(shape, dtype=like.dtype, device=like.device)


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
        return self.noise(sample_shape, self.like)

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
        return self.mean + self.stddev * self.noise(sample_shape, self.mean)

    def log_prob(self, value: Tensor) -> Tensor:
        squared = (value - self.mean) ** 2 * (-self.log_variance).exp()
        return -0.5 * (squared + self.log_variance + LOG_2PI).sum(-1)

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


class Delta(Unvalidated):
    """All mass at one point: the posterior of a plain autoencoder.  It has no density."""

    support = constraints.real_vector
    has_rsample = True

    def __init__(self, value: Tensor) -> None:
        self.value = value
        super().__init__(value.shape[:-1], value.shape[-1:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        return self.value

    @property
    def variance(self) -> Tensor:
        return torch.zeros_like(self.value)

    def rsample(self, sample_shape: Any = Size()) -> Tensor:
        return self.value.expand(self._extended_shape(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        raise ConfigurationError(
            "expected a posterior with a density, got a deterministic one, whose KL is infinite; "
            "train it with the Reconstruction objective, or use DiagonalGaussian"
        )

    def expand(self, batch_shape: Any, _instance: Any = None) -> Delta:
        return Delta(self.value.expand(*batch_shape, *self.event_shape))


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


class GreyLevels(Unvalidated):
    """A categorical distribution over the L grey levels k/(L−1), elementwise.

    ``logits`` has shape (*batch, L); values lie in {0, 1/(L−1), …, 1}.
    """

    support = constraints.unit_interval

    def __init__(self, logits: Tensor) -> None:
        self.logits = logits
        super().__init__(logits.shape[:-1], validate_args=False)

    @property
    def levels(self) -> int:
        return self.logits.shape[-1]

    def log_prob(self, value: Tensor) -> Tensor:
        index = (value * (self.levels - 1)).round().long().unsqueeze(-1)
        log_p = F.log_softmax(self.logits, -1)
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
