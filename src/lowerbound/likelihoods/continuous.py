"""Likelihoods of real numbers, and of those in [0, 1]."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, MixtureSameFamily, Normal

from lowerbound import distributions
from lowerbound.errors import ConfigurationError
from lowerbound.likelihoods.base import Likelihood, Shape, Support, Takes
from lowerbound.likelihoods.moments import (
    LEAST_SIGMA,
    least_sigma,
    moments,
    natural_parameter,
    quartiles,
    shrunk_mean,
)
from lowerbound.parts import Size, part
from lowerbound.transforms import Dequantise, Identity

Sigma = float | Literal["learned", "elementwise", "decoded", "optimal"]

MOMENTUM = 0.05
QUARTILE = 0.765  # of t with 3 degrees of freedom


@part
class Bernoulli(Likelihood):
    """p(x|z) = ∏ᵢ pᵢ^xᵢ (1 − pᵢ)^(1 − xᵢ).

    On grey levels x ∈ [0, 1] this is no density.  There, log p(x|z) is the mean of log p(b|z) over
    binarised images b ~ Bernoulli(x), so the ELBO bounds the evidence of the *binarised* image.

    Args:
        network: from z, (batch, latent), to the logits log pᵢ/(1 − pᵢ), (batch, *shape).
        shape: of one x.
    """

    support: ClassVar[Support] = "binary"

    def constant(self, x: Tensor) -> Tensor:
        return torch.logit(shrunk_mean(x, towards=0.5)).unsqueeze(-1)

    def elements(self, theta: Tensor) -> Distribution:
        return distributions.Bernoulli(logits=theta.squeeze(-1), validate_args=False)


@part
class ContinuousBernoulli(Likelihood):
    """p(x|z) = ∏ᵢ exp(ηᵢ xᵢ − A(ηᵢ)) on [0, 1].

    Args:
        network: from z, (batch, latent), to the natural parameters η, (batch, *shape).
        shape: of one x.

    Source: Loaiza-Ganem & Cunningham, The continuous Bernoulli, 2019, arXiv 1907.06845.
    """

    support: ClassVar[Support] = "continuous"
    takes: ClassVar[Takes] = {"grey": Dequantise, "unit": Identity}

    def constant(self, x: Tensor) -> Tensor:
        return natural_parameter(shrunk_mean(x, towards=0.5)).unsqueeze(-1)

    def elements(self, theta: Tensor) -> Distribution:
        return distributions.ContinuousBernoulli(theta.squeeze(-1))


@part
class Gaussian(Likelihood):
    """p(x|z) = ∏ᵢ N(xᵢ; μᵢ, σ²), σ in the units of prepared x.

    Where σ differs between elements, σᵢ² = σ₀ᵢ² + e^sᵢ, or repeated values would draw it to 0 and
    the density to ∞.  `start` sets the floor σ₀ᵢ to the deviation of rounding, δ/√12, δ being the
    least distance between two values of the element; at most to half of the element's
    deviation, and to a thousandth at least, which of standardised columns is that of theirs.

    Args:
        network: from z, (batch, latent), to μ, (batch, *shape); with a ``"decoded"`` σ also to s,
            (batch, 2, *shape).
        shape: of one x.
        sigma: a number above 0 (fixed); ``"learned"``, one parameter; ``"elementwise"``, one for
            each element, the same for all z; ``"decoded"``, one for each element that the network
            makes of z; or ``"optimal"``: the σ that maximises the likelihood of each training
            batch, its running value being used afterwards.

    Source of the optimal σ: Rybkin, Daniilidis & Levine, 2020, arXiv 2006.13202.
    """

    support: ClassVar[Support] = "continuous"
    running_variance: Tensor
    batches: Tensor
    floor: Tensor

    def __init__(self, network: nn.Module, shape: Shape, sigma: Sigma = "learned") -> None:
        super().__init__(network, shape)
        self.sigma, self.numbers = sigma, 2 if sigma == "decoded" else 1
        if isinstance(sigma, float) and not (sigma > 0 and math.isfinite(sigma)):
            raise ConfigurationError(f"Gaussian: expected a positive finite sigma, got {sigma}")
        if sigma == "learned":
            self.log_sigma = nn.Parameter(torch.zeros(()))
        elif sigma == "optimal":
            self.register_buffer("running_variance", torch.ones(()))
            self.register_buffer("batches", torch.zeros(()))
        elif sigma in ("elementwise", "decoded"):
            self.register_buffer("floor", torch.full(shape, LEAST_SIGMA))
            if sigma == "elementwise":
                self.log_noise = nn.Parameter(torch.zeros(shape))  # s

    def constant(self, x: Tensor) -> Tensor:
        mean, variance = moments(x)
        pooled = variance.mean().clamp(min=LEAST_SIGMA**2)
        if self.sigma == "learned":
            self.log_sigma.fill_(0.5 * pooled.log())
        elif self.sigma == "optimal":
            self.running_variance.fill_(pooled)
        elif self.sigma in ("elementwise", "decoded"):
            least = least_sigma(x)
            self.floor.copy_(least)
            s = torch.maximum(variance - least**2, least**2).log()
            if self.sigma == "decoded":
                return torch.stack((mean, s), -1)
            self.log_noise.copy_(s)
        return mean.unsqueeze(-1)

    def elements(self, theta: Tensor) -> Distribution:
        mean = theta[..., 0]
        if self.sigma in ("elementwise", "decoded"):
            s = theta[..., 1] if self.sigma == "decoded" else self.log_noise
            return distributions.Normal(mean, _log_variance(s, self.floor).expand_as(mean))
        if self.sigma == "optimal" and self.training:
            return distributions.OptimalNormal(mean, self.running_variance)
        if self.sigma == "optimal":
            sigma: Tensor | float = self.running_variance.sqrt()
        elif self.sigma == "learned":
            sigma = self.log_sigma.exp()
        else:
            sigma = float(self.sigma)
        return Normal(mean, sigma, validate_args=False)

    @torch.no_grad()
    def track(self, p: Distribution, x: Tensor) -> None:
        """Average the optimal σ² of a training batch x under ``p`` into the running one.

        The mean of all batches is taken while they are few.
        """
        if self.sigma == "optimal":
            optimum = (x - p.mean).square().mean()
            self.batches += 1
            weight = (1 / self.batches).clamp(min=MOMENTUM)
            self.running_variance.lerp_(optimum.to(self.running_variance), weight)


@part
class StudentT(Likelihood):
    """p(x|z) = ∏ᵢ t(xᵢ; μᵢ, σᵢ, νᵢ): heavy tails, which outliers pull less.

    σ has the floor of `Gaussian`.

    Args:
        network: from z, (batch, latent), to μ, (batch, *shape); with a ``"decoded"`` σ also to
            log σ², (batch, 2, *shape).
        shape: of one x.
        degrees: ν, a number above 1 so that there is a mean, or ``"learned"``: a parameter for each
            element, above 2 so that there is a variance too.
        sigma: ``"elementwise"``, a parameter for each element, the same for all z; ``"decoded"``.

    Source as a decoder of tables: Mattei & Frellsen, MIWAE, 2019, arXiv 1812.02633.
    """

    support: ClassVar[Support] = "continuous"
    floor: Tensor

    def __init__(
        self,
        network: nn.Module,
        shape: Shape,
        degrees: float | Literal["learned"] = "learned",
        sigma: Literal["elementwise", "decoded"] = "elementwise",
    ) -> None:
        super().__init__(network, shape)
        self.degrees, self.sigma = degrees, sigma
        self.numbers = 2 if sigma == "decoded" else 1
        if isinstance(degrees, float) and not 1 < degrees < math.inf:
            raise ConfigurationError(f"StudentT: expected degrees above 1, got {degrees}")
        if sigma == "elementwise":
            self.log_sigma = nn.Parameter(torch.zeros(shape))
        self.register_buffer("floor", torch.full(shape, LEAST_SIGMA))
        if degrees == "learned":
            self.log_excess = nn.Parameter(torch.zeros(shape))  # log(ν − 2)

    def constant(self, x: Tensor) -> Tensor:
        low, middle, high = quartiles(x)
        sigma = (high - low) / (2 * QUARTILE)
        spread = moments(x)[1].sqrt().clamp(min=LEAST_SIGMA)
        self.floor.copy_(least_sigma(x))
        log_sigma = torch.where(sigma > LEAST_SIGMA, sigma, spread).log()
        if self.sigma == "decoded":
            return torch.stack((middle, 2 * log_sigma), -1)
        self.log_sigma.copy_(log_sigma)
        return middle.unsqueeze(-1)

    def elements(self, theta: Tensor) -> Distribution:
        location = theta[..., 0]
        s = theta[..., 1] if self.sigma == "decoded" else 2 * self.log_sigma
        if self.degrees == "learned":
            degrees = 2 + self.log_excess.exp()
        else:
            degrees = location.new_tensor(float(self.degrees))
        log_variance = _log_variance(s, self.floor)
        return distributions.StudentT(location, 0.5 * log_variance, degrees)


@part
class NormalMixture(Likelihood):
    """p(x|z) = ∏ᵢ Σₖ πᵢₖ N(xᵢ; μᵢₖ, σᵢₖ²), all of z: several modes, skew, tails.

    The floor of σ is that of `Gaussian`.

    Args:
        network: from z, (batch, latent), to K logits of π, then K means μ, then K numbers s as in
            `Gaussian`, (batch, 3K, *shape).
        shape: of one x.
        components: K, the Gaussians in the mixture of each element.

    Source: Bishop, Mixture density networks, 1994.
    """

    support: ClassVar[Support] = "continuous"
    numbers = 3 * 3
    floor: Tensor

    def __init__(self, network: nn.Module, shape: Shape, components: Size = 3) -> None:
        super().__init__(network, shape)
        self.components, self.numbers = components, 3 * components
        self.register_buffer("floor", torch.full(shape, LEAST_SIGMA))

    def constant(self, x: Tensor) -> Tensor:
        """Gaussians side by side, each of the deviation of its share of x."""
        least, k = least_sigma(x), self.components
        self.floor.copy_(least)
        at = torch.tensor([(i + 0.5) / k for i in range(k)], dtype=x.dtype)
        means = x.nanquantile(at, 0).nan_to_num().double().movedim(0, -1)
        within = (moments(x)[1] - means.var(-1, correction=0)) - least**2
        s = torch.maximum(within, least**2).log().unsqueeze(-1).expand_as(means)
        return torch.cat((torch.zeros_like(means), means, s), -1)

    def elements(self, theta: Tensor) -> Distribution:
        logits, means, s = theta.chunk(3, -1)
        log_variance = _log_variance(s, self.floor.unsqueeze(-1))
        components = distributions.Normal(means, log_variance)
        which = torch.distributions.Categorical(logits=logits, validate_args=False)
        return MixtureSameFamily(which, components, validate_args=False)


def _log_variance(s: Tensor, floor: Tensor) -> Tensor:
    """log (σ₀² + e^s)."""
    return torch.logaddexp(s, 2 * floor.log())
