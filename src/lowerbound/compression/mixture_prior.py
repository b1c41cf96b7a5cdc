"""The prior p(z) = Σ p(c) p(z|c), a mixture of diagonal Gaussians, as a coder.

None of the p(z|c) is the prior, but p(c|z) is known, so c costs nothing by bits-back: the stack
grows by

    −log p(z|c) − log p(c) + log p(c|z) = −log p(z),    whichever c it was.

N(0, I) is a mixture of one component, whose c takes no bits.

With another r(c|z) in place of p(c|z) the stack grows by KL(r ‖ p(c|z)) more on average, and is
decoded just as well.  Here r is p(c|z) on grids: an error e in log r costs e²/2 nats for each
example; the mean of e² is 1/12 of the grid's step, squared, and as much again for each dimension of
(z − μ)/σ, times its square.  p(z|c) is taken at a code, not averaged over its cell of the grid,
which matters where σ is below the grid's step.  The coder draws each wrong component once in 2²⁴
examples, and then every dimension of a code that is nowhere near it takes 24 bits: with K
components and d dimensions, at most 24 K d/2²⁴ bits for each example on average, 0.03 for K = 500
and d = 40.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.distributions import Distribution

from lowerbound.compression.bits_back import BitsBack
from lowerbound.compression.coders import Coder, choices
from lowerbound.compression.latent_grid import BITS, LatentGrid
from lowerbound.distributions import DiagonalNormal, Mixture, StandardNormal

DEVIATION_STEPS, MOST_DEVIATIONS = 256, 4096
NUMBERS_AT_ONCE = 2**16


def as_mixture(p: Distribution) -> Mixture | None:
    """A prior as a mixture of diagonal Gaussians; None if it is not one."""
    if isinstance(p, StandardNormal):
        origin = torch.zeros_like(p.mean).unsqueeze(0)
        return Mixture(origin.new_zeros(1), DiagonalNormal(origin, origin))
    return p if isinstance(p, Mixture) and isinstance(p.components, DiagonalNormal) else None


class MixturePrior:
    """p(z) on a grid of codes z; its latent variable is the component c.

    Raises:
        DataError: a number is NaN or infinite.
    """

    def __init__(self, p: Mixture, bits: int = BITS) -> None:
        assert isinstance(p.components, DiagonalNormal)
        self.grid = LatentGrid.reaching(p, bits)
        self.mean, self.sigma = self.grid.gaussians(p.components)
        self.components, self.latent_dim = self.mean.shape
        self.log_weights = _rounded(p.log_weights.numpy())

    def coder(self, n: int) -> BitsBack:
        """The coder of the codes of n examples, at −log p(z) nats for each."""
        weights = choices(torch.from_numpy(self.log_weights).expand(n, -1))
        return BitsBack(self.responsibilities, self.component, weights)

    def responsibilities(self, codes: np.ndarray) -> Coder:
        """p(c|z) ∝ p(z, c)."""
        return choices(torch.from_numpy(self.log_joint(codes)))

    def component(self, c: np.ndarray) -> Coder:
        """p(z|c)."""
        return self.grid.everywhere(self.mean[c], self.sigma[c])

    def log_joint(self, codes: np.ndarray) -> np.ndarray:
        """log p(z, c) = log p(c) + log p(z|c) in nats, up to a constant, (n, K).

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


def _rounded(x: np.ndarray) -> np.ndarray:
    """x on a grid so coarse that its last bit cannot matter, and that sums are exact."""
    return np.rint(x * DEVIATION_STEPS) / DEVIATION_STEPS
