"""What likelihoods start at: the moments of each element of examples (n, *shape)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lowerbound.distributions import ContinuousBernoulli

LEAST_SIGMA = 1e-3


def moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of the elements that are observed, which NaN are not, in float64."""
    x = x.double()
    n = (~x.isnan()).sum(0).clamp(min=1)
    mean = x.nansum(0) / n
    return mean, (x - mean).square().nansum(0) / n


def least_sigma(x: Tensor) -> Tensor:
    """δ/√12, of rounding to the least distance δ between two values of each element, in float64.

    It is `LEAST_SIGMA` at least, and at most half of the element's deviation, of which a lone
    value far from the others would make it many times as much.  Nearer values than a hundredth of
    `LEAST_SIGMA` count as the same.
    """
    x = x.double()
    gaps = x.sort(0).values.diff(dim=0, append=torch.full_like(x[:1], math.inf))
    delta = torch.where(gaps > LEAST_SIGMA / 100, gaps, math.inf).amin(0)  # NaN are none
    rounding = torch.where(delta.isinf(), 0.0, delta / 12**0.5)
    return torch.minimum(rounding, moments(x)[1].sqrt() / 2).clamp(min=LEAST_SIGMA)


def shrunk_mean(x: Tensor, towards: float) -> Tensor:
    """The mean, as if one more example had the value ``towards``."""
    n = (~x.isnan()).sum(0)
    return (x.double().nansum(0) + towards) / (n + 1)


def quartiles(x: Tensor) -> Tensor:
    """The three quartiles of each element, (3, *shape); 0 where none was observed."""
    at = torch.tensor((0.25, 0.5, 0.75), dtype=x.dtype)
    return x.nanquantile(at, 0).nan_to_num()


def natural_parameter(mean: Tensor) -> Tensor:
    """η of the continuous Bernoulli of this mean, by bisection."""
    low, high = torch.full_like(mean, -1e4), torch.full_like(mean, 1e4)
    for _ in range(60):
        eta = (low + high) / 2
        below = ContinuousBernoulli(eta).mean < mean
        low, high = torch.where(below, eta, low), torch.where(below, high, eta)
    return eta


def count_moments(x: Tensor, lost: Tensor | float = 0.0) -> tuple[Tensor, Tensor]:
    """log μ and log r of negative binomials of these moments, but a share ``lost`` of x, all 0.

    r is at most 100 μ, where the variance exceeds the Poisson distribution's by 1 %.
    """
    mean, variance = moments(x)
    square, mean = (variance + mean**2) / (1 - lost), mean / (1 - lost)
    variance = square - mean**2
    mean = mean.clamp(min=0.5 / (len(x) + 1))  # as good as half a count seen
    excess = torch.maximum(variance - mean, mean / 100)
    return mean.log(), 2 * mean.log() - excess.log()
