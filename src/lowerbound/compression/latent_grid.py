"""The grid that codes z lie on, and coders of Gaussians over it.

μ and log σ are rounded to grids of their own: an error e in log σ costs e² nats for each latent
dimension, and the mean of e² is 1/12 of the grid's step, squared.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lowerbound.compression.coders import Coder, Model, families
from lowerbound.compression.exact_arithmetic import exp_on_grid, not_finite
from lowerbound.distributions import DiagonalNormal, Mixture

BITS, FARTHEST, PRIOR_DEVIATIONS = 6, 512, 8
MEAN_STEPS, LOWEST_LOG_SIGMA, SIGMA_STEPS = 8, -8, 32
DEVIATIONS, SMALLEST_WINDOW = 6, 3


@dataclass(frozen=True)
class LatentGrid:
    """z = k/2^bits for whole k, from −2 ``farthest`` to 2 ``farthest``: the codes that can be sent.

    Gaussians over them have means from −``farthest`` to ``farthest`` and log σ up to ``widest``.
    """

    farthest: int
    widest: float
    bits: int = BITS

    @classmethod
    def reaching(cls, p: Mixture, bits: int = BITS) -> LatentGrid:
        """The grid that is as wide as a mixture of Gaussians, but no wider than ±512.

        It reaches eight σ to either side of each mean, σ being the largest of any component, or
        that of the whole mixture where only a rare component is wider.  A posterior may be as wide
        as either.

        Raises:
            DataError: a number is NaN or infinite.
        """
        mean, variance = p.components.mean, p.components.variance
        weights = p.log_weights.exp().unsqueeze(-1)
        middle = (weights * mean).sum(0)
        whole = (weights * (variance + (mean - middle) ** 2)).sum(0).max().sqrt().item()
        largest = variance.max().sqrt().item()
        reach = mean.abs().max().item() + PRIOR_DEVIATIONS * min(largest, whole)
        if not math.isfinite(reach) or not math.isfinite(largest + whole):
            raise not_finite()
        log_sigma = math.log(max(largest, whole, math.exp(LOWEST_LOG_SIGMA)))
        farthest = 1 << (math.ceil(min(reach, FARTHEST)) - 1).bit_length()
        return cls(farthest, round(log_sigma * SIGMA_STEPS) / SIGMA_STEPS, bits)

    @property
    def steps(self) -> float:
        """Steps of the grid in 1."""
        return float(1 << self.bits)

    def codes(self, symbols: np.ndarray) -> Tensor:
        """The z of symbols k, float64 of the same shape."""
        return torch.from_numpy(symbols).double() / self.steps

    def gaussians(self, p: DiagonalNormal) -> tuple[np.ndarray, np.ndarray]:
        """μ, on a finer grid than z's, and σ, on a logarithmic one, both in steps of z's grid."""
        fine = MEAN_STEPS * self.steps
        mean = (p.mean.clamp(-self.farthest, self.farthest) * fine).round() / MEAN_STEPS
        log_sigma = 0.5 * p.log_variance + 0 * p.mean  # NaN where either is
        sigma = exp_on_grid(log_sigma, LOWEST_LOG_SIGMA, self.widest, SIGMA_STEPS)
        return mean.numpy(), self.steps * sigma

    def everywhere(self, mean: np.ndarray, sigma: np.ndarray) -> Coder:
        """N(μ, σ²) over the whole grid, so that every code can be coded.

        The coder gives each symbol at least 2⁻²⁴, which costs −log(1 − 2⁻²⁴ · 4 farthest · 2^bits)
        nats for each latent dimension: 10⁻⁴ for N(0, 1), and 0.008 for the widest prior.
        """
        last = 2 * self.farthest << self.bits
        return Coder.joining(_gaussian(last, mean.ravel(), sigma.ravel()))

    def posterior(self, q: DiagonalNormal) -> Coder:
        """N(μ, σ²) in a window around μ, six σ to either side rounded up to a power of two.

        Over the whole grid the coder's 2⁻²⁴ for each symbol would add up to one code in thousands
        that lies nowhere near its mean, and describes its example badly.
        """
        mean, sigma = (numbers.ravel() for numbers in self.gaussians(q))
        centre = np.rint(mean)
        widths = 1 << np.frexp(DEVIATIONS * sigma)[1].clip(min=SMALLEST_WINDOW)
        parts = [
            (places, _gaussian(int(width), (mean - centre)[places], sigma[places]))
            for width in np.unique(widths)
            for places in [np.flatnonzero(widths == width)]
        ]
        return Coder(centre.astype(np.int32), parts)


def _gaussian(last: int, mean: np.ndarray, sigma: np.ndarray) -> Model:
    """Quantised Gaussians over the whole numbers from −last to last."""
    return Model(families.QuantizedGaussian(-last, last), (mean, sigma))
