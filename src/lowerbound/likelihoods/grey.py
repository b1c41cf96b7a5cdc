"""Likelihoods of grey levels."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

import pydantic
import torch
from torch import Tensor, nn

from lowerbound import distributions
from lowerbound.distributions import GreyDistribution
from lowerbound.likelihoods.base import Likelihood, Shape, Support
from lowerbound.likelihoods.moments import moments, shrunk_mean
from lowerbound.parts import Size, part

Levels = Annotated[Size, pydantic.Field(ge=2)]


def location_and_scale(x: Tensor, levels: int) -> tuple[Tensor, Tensor]:
    """Mean of each element, and the scale s of a logistic distribution of its variance π² s²/3.

    It is at least one level.
    """
    mean, variance = moments(x)
    return mean, ((3 * variance).sqrt() / math.pi).clamp(min=1 / levels)


class GreyLikelihood(Likelihood):
    """A probability of each of L grey levels k/(L − 1).

    Args:
        network: as in `Likelihood`.
        shape: of one x.
        levels: L, from black to white.
    """

    support: ClassVar[Support] = "grey"

    def __init__(self, network: nn.Module, shape: Shape, levels: Levels = 256) -> None:
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

    def __init__(self, network: nn.Module, shape: Shape, levels: Levels = 256) -> None:
        super().__init__(network, shape, levels)
        self.numbers = levels

    def constant(self, x: Tensor) -> Tensor:
        """Each element's frequencies, as if it had one more value, drawn as those of all are."""
        level = (x.double() * (self.levels - 1)).round().long().flatten(1)
        elements = torch.arange(level.shape[1], device=x.device) * self.levels
        times = torch.bincount((level + elements).flatten(), minlength=self.levels * len(elements))
        times = times.view(*x.shape[1:], self.levels).double()
        every = times.flatten(0, -2).sum(0) + 1
        return (times + every / every.sum()).log()

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

    def constant(self, x: Tensor) -> Tensor:
        mean, scale = location_and_scale(x, self.levels)
        return torch.stack((mean, scale.log()), -1)

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
        self, network: nn.Module, shape: Shape, components: Size = 5, levels: Levels = 256
    ) -> None:
        super().__init__(network, shape, levels)
        self.components, self.numbers = components, 3 * components

    def constant(self, x: Tensor) -> Tensor:
        """Logistics of the data's scale side by side, so that each has a part to play."""
        mean, scale = (value.unsqueeze(-1) for value in location_and_scale(x, self.levels))
        k = torch.arange(self.components, dtype=mean.dtype, device=mean.device)
        location = mean + scale * torch.logit((k + 0.5) / self.components)
        equal, log_scale = torch.zeros_like(location), scale.log().expand_as(location)
        return torch.cat((equal, location, log_scale), -1)

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

    def constant(self, x: Tensor) -> Tensor:
        """By the moments: the variance is p (1 − p) (s + n)/((s + 1) n), p the mean, s = α + β."""
        n, p = self.levels - 1, shrunk_mean(x, towards=0.5)
        binomial, variance = p * (1 - p), moments(x)[1]
        total = n * (binomial - variance) / (n * variance - binomial).clamp(min=1e-3 * binomial)
        total = total.clamp(0.1, 1e3)
        return torch.stack(((p * total).log(), ((1 - p) * total).log()), -1)

    def elements(self, theta: Tensor) -> GreyDistribution:
        log_alpha, log_beta = theta.unbind(-1)
        return distributions.BetaBinomial(log_alpha, log_beta, self.levels)
