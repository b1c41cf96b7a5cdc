"""Bits-back coding: a distribution with latent variables, p(x) = ∫ p(z) p(x|z) dz, as a coder.

To encode x: take z ~ q(z|x) off the stack, put x on it under p(x|z), then z under p(z).  Decoding
is the same in reverse, and gives back the bits that were taken for z.  The stack has grown by

    −log p(x|z) − log p(z) + log q(z|x),    on average the −ELBO.

p(z) may itself be coded in this way.

Sources: Frey & Hinton, Efficient stochastic source coding and an application to a Bayesian network
source model, 1997; Townsend, Bird & Barber, Practical lossless compression with latent variables
using bits back coding, 2019, arXiv 1901.04866.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from lowerbound.compression.coders import Coder


@dataclass(frozen=True)
class BitsBack:
    """A coder of n examples; ``posterior`` is q(z|x), ``likelihood`` p(x|z), and ``prior`` p(z).

    Symbols, of x and of z, are flat and int32.
    """

    posterior: Callable[[np.ndarray], Coder]
    likelihood: Callable[[np.ndarray], Coder]
    prior: Coder | BitsBack

    def push(self, stack: Any, x: np.ndarray) -> int:
        """Put x on the stack; returns the fewest words that were left once z had been taken."""
        z = self.posterior(x).pop(stack)
        left = stack.num_words()
        self.likelihood(z).push(stack, x)
        return min(left, self.prior.push(stack, z))

    def pop(self, stack: Any) -> np.ndarray:
        """Take x off again.

        Raises:
            KeyError: z is not a code that q(z|x) could have given.
        """
        z = self.prior.pop(stack)
        x = self.likelihood(z).pop(stack)
        self.posterior(x).push(stack, z)
        return x
