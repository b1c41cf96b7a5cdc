"""Likelihoods of grey levels."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from lowerbound import distributions
from lowerbound.distributions import GreyDistribution
from lowerbound.likelihoods.base import Likelihood, Shape, Support
from lowerbound.parts import Size, part


class GreyLikelihood(Likelihood):
    """A probability of each of L grey levels k/(L − 1).

    Args:
        network: as in `Likelihood`.
        shape: of one x.
        levels: L, from black to white.
    """

    support: ClassVar[Support] = "grey"

    def __init__(self, network: nn.Module, shape: Shape, levels: Size = 256) -> None:
        super().__init__(network, shape)
        self.levels = levels


@part
class Categorical(GreyLikelihood):
    """p(x|z) = ∏ᵢ Categorical(xᵢ), of L grey levels.

    Args:
        network: from z, (batch, latent), to the logits of all levels, (batch, L, *shape).
        shape: of one x.
        levels: the grey levels, from black to white.
    """

    numbers = 256

    def __init__(self, network: nn.Module, shape: Shape, levels: Size = 256) -> None:
        super().__init__(network, shape, levels)
        self.numbers = levels

    def elements(self, theta: Tensor) -> GreyDistribution:
        return distributions.GreyLevels(theta)


@part
class DiscretisedLogistic(GreyLikelihood):
    """p(x|z) = ∏ᵢ P(xᵢ), the mass of a logistic distribution in the bin of each grey level.

    Args:
        network: from z, (batch, latent), to the location μ, in units of x, then log s of the
            scale, (batch, 2, *shape).
        shape: of one x.
        levels: the grey levels, from black to white.

    Source: Kingma et al., Improving variational inference with inverse autoregressive flow, 2016,
    arXiv 1606.04934.
    """

    numbers = 2

    def elements(self, theta: Tensor) -> GreyDistribution:
        location, log_scale = theta.unbind(-1)
        return distributions.DiscretisedLogistic(location, log_scale, self.levels)


@part
class LogisticMixture(GreyLikelihood):
    """p(x|z) = ∏ᵢ Σⱼ πⱼ Pⱼ(xᵢ), Pⱼ discretised logistics, with π, μ and s of each element's own.

    Channels are independent given z; PixelCNN++, where the mixture is from, conditions them.

    Args:
        network: from z, (batch, latent), to J logits of π, then J locations μ, then J log s,
            (batch, 3J, *shape).
        shape: of one x.
        components: J, the logistics in the mixture of each element.
        levels: the grey levels, from black to white.

    Source: Salimans, Karpathy, Chen & Kingma, PixelCNN++, 2017, arXiv 1701.05517.
    """

    numbers = 3 * 5

    def __init__(
        self, network: nn.Module, shape: Shape, components: Size = 5, levels: Size = 256
    ) -> None:
        super().__init__(network, shape, levels)
        self.components, self.numbers = components, 3 * components

    def elements(self, theta: Tensor) -> GreyDistribution:
        logits, location, log_scale = theta.chunk(3, -1)
        logistics = distributions.DiscretisedLogistic(location, log_scale, self.levels)
        return distributions.LogisticMixture(logits, logistics)


@part
class BetaBinomial(GreyLikelihood):
    """p(x|z) = ∏ᵢ P(255 xᵢ), P(k) = C(255, k) B(k + α, 255 − k + β)/B(α, β).

    Args:
        network: from z, (batch, latent), to log α, then log β, (batch, 2, *shape).
        shape: of one x.
        levels: the grey levels, from black to white.

    Source as a likelihood of grey levels: Townsend, Bird & Barber, Practical lossless compression
    with latent variables using bits back coding, 2019, arXiv 1901.04866.
    """

    numbers = 2

    def elements(self, theta: Tensor) -> GreyDistribution:
        log_alpha, log_beta = theta.unbind(-1)
        return distributions.BetaBinomial(log_alpha, log_beta, self.levels)
