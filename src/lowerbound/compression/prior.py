"""The prior p(z) = Σ p(c) p(z|c), a mixture of diagonal Gaussians, as a model for the coder.

No one p(z|c) is the prior, but p(c|z) is known, so that c costs nothing, by bits-back again.  To
encode z: take c ~ p(c|z) off the stack, put z on it under p(z|c), then c under p(c).  Decoding is
the same in reverse.  The stack has grown by

    −log p(z|c) − log p(c) + log p(c|z) = −log p(z),    whichever c it was.

N(0, I) is a mixture of one component, whose c takes no bits.

With another r(c|z) in place of p(c|z) it grows by KL(r ‖ p(c|z)) more, in the mean, and decodes as
well.  Here r is p(c|z) on grids: an error e in log r costs e²/2 nats for each example; e² is 1/12
of the square of the grid's step, and as much for each dimension of (z − μ)/σ, times its square.
p(z|c) is taken at a code, not over its cell of the grid, which tells where σ is below its step.
The coder draws each wrong component once in 2²⁴ examples, and then every dimension of a code that
is nowhere near it takes 24 bits: of K components and d dimensions, at most 24 K d/2²⁴ bits for each
example in the mean, 0.03 for K = 500 and d = 40.

Source: Frey & Hinton, Efficient stochastic source coding and an application to a Bayesian network
source model, 1997.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.distributions import Distribution

from lowerbound.compression.models import (
    LATENT_BITS,
    Certain,
    EntropyModel,
    LatentGrid,
    Symbols,
    choices,
)
from lowerbound.distributions import DiagonalNormal, Mixture, StandardNormal

DEVIATION_STEPS, MOST_DEVIATIONS = 256, 4096
NUMBERS_AT_ONCE = 2**16


def as_mixture(p: Distribution) -> Mixture | None:
    """A prior as a mixture of diagonal Gaussians; None if it is none."""
    if isinstance(p, StandardNormal):
        origin = torch.zeros_like(p.mean).unsqueeze(0)
        return Mixture(origin.new_zeros(1), DiagonalNormal(origin, origin))
    return p if isinstance(p, Mixture) and isinstance(p.components, DiagonalNormal) else None


class MixturePrior:
    """p(z) = Σ p(c) p(z|c): puts codes on a stack and takes them off, at −log p(z) for each.

    Raises:
        DataError: a number is NaN or infinite.
    """

    def __init__(self, p: Mixture, bits: int = LATENT_BITS) -> None:
        assert isinstance(p.components, DiagonalNormal)
        self.grid = LatentGrid.reaching(p, bits)
        self.mean, self.sigma = self.grid.gaussians(p.components)
        self.log_weights = _rounded(p.log_weights.numpy())
        self.components, self.latent_dim = self.mean.shape

    def push(self, stack: Any, codes: Symbols) -> int:
        """Put codes z on the stack; returns the words that were left when c had been taken."""
        c = self.responsibilities(codes).pop(stack)
        left = stack.num_words()
        self._component(c).push(stack, codes)
        self._weights(len(c)).push(stack, c)
        return left

    def pop(self, stack: Any, count: int) -> Symbols:
        """Take the codes of ``count`` examples off again."""
        c = self._weights(count).pop(stack)
        codes = self._component(c).pop(stack)
        self.responsibilities(codes).push(stack, c)
        return codes

    def responsibilities(self, codes: Symbols) -> EntropyModel | Certain:
        """p(c|z) ∝ p(z, c)."""
        return choices(torch.from_numpy(self.log_joint(codes)))

    def log_joint(self, codes: Symbols) -> np.ndarray:
        """log p(z, c) = log p(c) + log p(z|c), shape (n, K), less a constant.

        (z − μ)/σ is rounded to 1/256, so that its squares, and all sums, are exact.
        """
        z = codes.reshape(-1, 1, self.latent_dim)
        to_steps, most = DEVIATION_STEPS / self.sigma, DEVIATION_STEPS * MOST_DEVIATIONS
        squares = np.empty((len(z), self.components))
        size = max(1, NUMBERS_AT_ONCE // self.mean.size)
        for start in range(0, len(z), size):
            deviations = (z[start : start + size] - self.mean) * to_steps
            np.rint(deviations, out=deviations).clip(-most, most, out=deviations)
            squares[start : start + size] = np.einsum("nkd,nkd->nk", deviations, deviations)
        constant = self.log_weights - _rounded(np.log(self.sigma)).sum(-1)
        return constant - squares / (2 * DEVIATION_STEPS**2)

    def _component(self, c: Symbols) -> EntropyModel:
        """p(z|c)."""
        return self.grid.everywhere(self.mean[c], self.sigma[c])

    def _weights(self, count: int) -> EntropyModel | Certain:
        """p(c), ``count`` times."""
        return choices(torch.from_numpy(self.log_weights).expand(count, -1))


def _rounded(x: np.ndarray) -> np.ndarray:
    """x, on a grid so coarse that its last bit cannot matter, and sums are exact."""
    return np.rint(x * DEVIATION_STEPS) / DEVIATION_STEPS
