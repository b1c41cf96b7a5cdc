"""Likelihoods of numbers of which one has a probability of its own."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, LogNormal, Normal

from lowerbound import distributions
from lowerbound.likelihoods.base import Likelihood, Shape, Support
from lowerbound.likelihoods.moments import LEAST_SIGMA, least_sigma, moments, shrunk_mean
from lowerbound.parts import part


@part
class ZeroInflated(Likelihood):
    """p(x|z) = ∏ᵢ πᵢ where xᵢ = 0, (1 − πᵢ) p′(xᵢ) elsewhere: a probability, and a density.

    log x ~ N(μ, σ²) under p′ where x cannot be negative, else x ~ N(μ, σ²).  μ and σ² = σ₀² + e^s,
    of which `Gaussian` tells, are in units of the deviation of log x or x, around its mean, which
    `start` sets.

    Args:
        network: from z, (batch, latent), to the logits of π, then μ, then s, (batch, 3, *shape).
        shape: of one x.
        positive: whether no x is negative.

    Source of the log-normal case: Aitchison, On the distribution of a positive random variable
    having a discrete probability mass at the origin, 1955.
    """

    support: ClassVar[Support] = "zero-inflated"
    numbers = 3
    centre: Tensor
    deviation: Tensor
    floor: Tensor

    def __init__(self, network: nn.Module, shape: Shape, *, positive: bool) -> None:
        super().__init__(network, shape)
        self.positive = positive
        self.register_buffer("centre", torch.zeros(shape))
        self.register_buffer("deviation", torch.ones(shape))
        self.register_buffer("floor", torch.full(shape, LEAST_SIGMA))

    def constant(self, x: Tensor) -> Tensor:
        other = torch.where(x == 0, torch.nan, x.double())
        y = other.log() if self.positive else other
        mean, variance = moments(y)
        deviation = torch.where(variance > 0, variance.sqrt(), 1.0)
        least = least_sigma((y - mean) / deviation)
        self.centre.copy_(mean)
        self.deviation.copy_(deviation)
        self.floor.copy_(least)
        spike = torch.where(x.isnan(), x, (x == 0).to(x))
        s = torch.maximum(1 - least**2, least**2).log()
        return torch.stack((shrunk_mean(spike, towards=0.5).logit(), torch.zeros_like(s), s), -1)

    def elements(self, theta: Tensor) -> Distribution:
        logits, mean, s = theta.unbind(-1)
        mean = self.centre + self.deviation * mean
        sigma = self.deviation * (s.exp() + self.floor**2).sqrt()
        family = LogNormal if self.positive else Normal
        return distributions.ZeroInflated(logits, family(mean, sigma, validate_args=False))
