"""Likelihoods of counts, on x as it is kept (see `transforms.Counts`)."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from lowerbound import distributions
from lowerbound.likelihoods.base import Likelihood, Shape, Support
from lowerbound.likelihoods.moments import count_moments, shrunk_mean
from lowerbound.parts import part


@part
class Poisson(Likelihood):
    """p(x|z) = ∏ᵢ μᵢ^xᵢ e^−μᵢ/xᵢ!.

    Args:
        network: from z, (batch, latent), to log μ, (batch, *shape).
        shape: of one x.
    """

    support: ClassVar[Support] = "counts"

    def constant(self, x: Tensor) -> Tensor:
        return count_moments(x)[0].unsqueeze(-1)

    def elements(self, theta: Tensor) -> Distribution:
        return distributions.Poisson(theta.squeeze(-1))


@part
class NegativeBinomial(Likelihood):
    """p(x|z) = ∏ᵢ NB(xᵢ; μᵢ, rᵢ), of variance μᵢ + μᵢ²/rᵢ.

    The dispersion r is a parameter for each element of x, the same for all z.

    Args:
        network: from z, (batch, latent), to log μ, (batch, *shape).
        shape: of one x.

    Source: Lopez et al., A deep generative model for gene expression profiles from single-cell RNA
    sequencing, 2017, arXiv 1709.02082 (there with each cell's total as a factor of μ).
    """

    support: ClassVar[Support] = "counts"

    def __init__(self, network: nn.Module, shape: Shape) -> None:
        super().__init__(network, shape)
        self.log_dispersion = nn.Parameter(torch.zeros(shape))

    def constant(self, x: Tensor) -> Tensor:
        log_mean, log_dispersion = count_moments(x)
        self.log_dispersion.copy_(log_dispersion)
        return log_mean.unsqueeze(-1)

    def elements(self, theta: Tensor) -> Distribution:
        return distributions.NegativeBinomial(theta.squeeze(-1), self.log_dispersion)


@part
class ZeroInflatedNegativeBinomial(NegativeBinomial):
    """p(x|z) = ∏ᵢ πᵢ [xᵢ = 0] + (1 − πᵢ) NB(xᵢ; μᵢ, rᵢ).

    π is the probability that a count was lost; r is as in `NegativeBinomial`.

    Args:
        network: from z, (batch, latent), to log μ, then the logits of π, (batch, 2, *shape).
        shape: of one x.

    Source: as of `NegativeBinomial`.
    """

    numbers = 2

    def constant(self, x: Tensor) -> Tensor:
        lost = shrunk_mean(torch.where(x.isnan(), x, (x == 0).to(x)), towards=1.0) / 2
        log_mean, log_dispersion = count_moments(x, lost)
        self.log_dispersion.copy_(log_dispersion)
        return torch.stack((log_mean, lost.logit()), -1)

    def elements(self, theta: Tensor) -> Distribution:
        log_mean, logits = theta.unbind(-1)
        counts = distributions.NegativeBinomial(log_mean, self.log_dispersion)
        return distributions.ZeroInflated(logits, counts)
