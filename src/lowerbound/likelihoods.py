"""Likelihoods p(x|z) or p(x|z,c): modules whose call returns a distribution over x.

Each takes a network from z, (batch, latent), to the numbers that its distribution needs, and the
``shape`` of one x.  ``support`` says on which data the likelihood is a density or a probability:

    "binary"      x ∈ {0, 1}
    "grey"        x ∈ {0, 1/255, …, 1}
    "continuous"  x ∈ ℝ, or [0, 1]
"""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Distribution, Independent

from lowerbound import distributions
from lowerbound.errors import ConfigurationError
from lowerbound.networks import apply
from lowerbound.parts import Size, part

Support = Literal["binary", "grey", "continuous"]
Context = Float[Tensor, "... features"] | None
Codes = Float[Tensor, "*batch latent"]


@part
class Bernoulli(nn.Module):
    """p(x|z) = ∏ᵢ pᵢ^xᵢ (1 − pᵢ)^(1 − xᵢ); ``network`` returns the logits log pᵢ/(1 − pᵢ).

    On grey levels x ∈ [0, 1] this is no density.  There, log p(x|z) is the mean of log p(b|z) over
    binarised images b ~ Bernoulli(x), so the ELBO bounds the evidence of the *binarised* image.
    """

    support: ClassVar[Support] = "binary"

    def __init__(self, network: nn.Module, shape: tuple[Size, ...]) -> None:
        super().__init__()
        self.network, self.shape = network, shape

    def forward(self, z: Codes, context: Context = None) -> Distribution:
        """p(x|z,c), batch shape that of z, event shape ``shape``."""
        logits = apply(self.network, z, context, self.shape, z.ndim - 1)
        return independent(torch.distributions.Bernoulli(logits=logits, validate_args=False), self)


@part
class ContinuousBernoulli(nn.Module):
    """p(x|z) = ∏ᵢ exp(ηᵢ xᵢ − A(ηᵢ)) on [0, 1]; ``network`` returns the natural parameters η.

    Source: Loaiza-Ganem & Cunningham, The continuous Bernoulli, 2019, arXiv 1907.06845.
    """

    support: ClassVar[Support] = "continuous"

    def __init__(self, network: nn.Module, shape: tuple[Size, ...]) -> None:
        super().__init__()
        self.network, self.shape = network, shape

    def forward(self, z: Codes, context: Context = None) -> Distribution:
        """p(x|z,c), batch shape that of z, event shape ``shape``."""
        eta = apply(self.network, z, context, self.shape, z.ndim - 1)
        return independent(distributions.ContinuousBernoulli(eta), self)


@part
class Gaussian(nn.Module):
    """p(x|z) = ∏ᵢ N(xᵢ; μᵢ, σ²) with one σ for all elements; ``network`` returns μ.

    ``sigma`` is a number (fixed), ``"learned"`` (one parameter), or ``"optimal"``: the σ that
    maximises the likelihood of each training batch, its running value being used afterwards.

    Source of the optimal σ: Rybkin, Daniilidis & Levine, 2020, arXiv 2006.13202.
    """

    support: ClassVar[Support] = "continuous"
    running_variance: Tensor
    batches: Tensor

    def __init__(
        self,
        network: nn.Module,
        shape: tuple[Size, ...],
        sigma: float | Literal["learned", "optimal"] = "learned",
    ) -> None:
        super().__init__()
        self.network, self.shape, self.sigma = network, shape, sigma
        if isinstance(sigma, float) and not (sigma > 0 and math.isfinite(sigma)):
            raise ConfigurationError(f"Gaussian: expected a positive finite sigma, got {sigma}")
        if sigma == "learned":
            self.log_sigma = nn.Parameter(torch.zeros(()))
        elif sigma == "optimal":
            self.register_buffer("running_variance", torch.ones(()))
            self.register_buffer("batches", torch.zeros(()))

    def forward(self, z: Codes, context: Context = None) -> Distribution:
        """p(x|z,c), batch shape that of z, event shape ``shape``."""
        mean = apply(self.network, z, context, self.shape, z.ndim - 1)
        if self.sigma == "optimal" and self.training:
            optimal = distributions.OptimalNormal(mean, self.running_variance, self.batches)
            return independent(optimal, self)
        if self.sigma == "optimal":
            sigma: Tensor | float = self.running_variance.sqrt()
        elif self.sigma == "learned":
            sigma = self.log_sigma.exp()
        else:
            sigma = float(self.sigma)
        return independent(torch.distributions.Normal(mean, sigma, validate_args=False), self)


@part
class Categorical(nn.Module):
    """p(x|z) = ∏ᵢ Categorical(xᵢ) over ``levels`` grey levels k/(levels − 1).

    ``network`` returns levels × shape logits per example, levels first.
    """

    support: ClassVar[Support] = "grey"

    def __init__(self, network: nn.Module, shape: tuple[Size, ...], levels: Size = 256) -> None:
        super().__init__()
        self.network, self.shape, self.levels = network, shape, levels

    def forward(self, z: Codes, context: Context = None) -> Distribution:
        """p(x|z,c), batch shape that of z, event shape ``shape``."""
        logits = apply(self.network, z, context, (self.levels, *self.shape), z.ndim - 1)
        logits = logits.movedim(-1 - len(self.shape), -1)
        return independent(distributions.GreyLevels(logits), self)


def independent(elements: Distribution, likelihood: nn.Module) -> Distribution:
    """The elementwise distribution as one over whole examples: log p summed over ``shape``."""
    return Independent(elements, len(likelihood.shape), validate_args=False)  # type: ignore[arg-type]
