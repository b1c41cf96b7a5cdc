"""Bits-back coding of blocks of examples on one stack.

To encode x: take z ~ q(z|x) off the stack, put x on it under p(x|z), then z under p(z).  Decoding
is the same in reverse, and gives the bits that were taken for z back.  A mixture p(z) takes one of
its components off the stack, and puts it back, in the same way (`prior`).  The stack has grown by

    −log p(x|z) − log p(z) + log q(z|x),    on average the −ELBO.

The networks see a block of B examples at once: all B codes are taken before the first x is put on.
The first blocks are small, as their codes must come from bits that are there before any x is.

Source: Townsend, Bird & Barber, Practical lossless compression with latent variables using bits
back coding, 2019, arXiv 1901.04866.
"""

from __future__ import annotations

import copy
import math
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import constriction
import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution, Independent

from lowerbound.compression.exact import exactly
from lowerbound.compression.models import (
    LATENT_BITS,
    EntropyModel,
    Windows,
    joined,
    levels_of,
    pixels,
)
from lowerbound.compression.prior import MixturePrior, as_mixture
from lowerbound.distributions import DiagonalNormal, Mixture
from lowerbound.errors import ConfigurationError
from lowerbound.transforms import Identity, Scale
from lowerbound.vae import VAE

CHECK = constriction.stream.model.Uniform(256)
NUMBERS_AT_ONCE = 2**20
MOST_LEVELS = 256


class BitsBack:
    """Puts blocks of symbols, (B, *shape), on a stack, and takes them off, in exact arithmetic.

    Raises:
        ConfigurationError: the model has another prior, posterior or likelihood than can be coded.
    """

    def __init__(self, model: VAE, bits: int = LATENT_BITS) -> None:
        self.model = copy.deepcopy(model).cpu().double().eval()
        self.latent_dim, self.shape = model.latent_dim, model.shape
        with exactly():
            self.prior = MixturePrior(self._mixture(), bits)
            self.levels = self._levels()
        self.grid = self.prior.grid
        self.taken = self.latent_dim + (self.prior.components > 1)  # numbers, for each example

    def push(self, stack: Any, block: np.ndarray) -> int:
        """Encode a block; returns the fewest words that were left when codes had been taken."""
        codes = self._posterior(block).pop(stack)
        left = stack.num_words()
        self._pixels(codes).push(stack, block.ravel().astype(np.int32))
        left = min(left, self.prior.push(stack, codes))
        stack.encode_reverse(_check(block), CHECK)
        return left

    def pop(self, stack: Any, size: int) -> np.ndarray | None:
        """Decode a block of ``size`` examples; None if it is not what was encoded."""
        check = stack.decode(CHECK)
        codes = self.prior.pop(stack, size)
        symbols = self._pixels(codes).pop(stack)
        block = symbols.astype(np.uint8).reshape(size, *self.shape)
        if check != _check(block):
            return None
        try:
            self._posterior(block).push(stack, codes)
        except KeyError:  # a code that the posterior of what was encoded could not have given
            return None
        return block

    def _posterior(self, block: np.ndarray) -> Windows:
        """q(z|x) of all the block's examples."""
        with exactly():
            q = self.model.posterior(torch.from_numpy(block).double() / (self.levels - 1))
            return self.grid.posterior(q)

    def _pixels(self, codes: np.ndarray) -> EntropyModel:
        """p(x|z), a few examples to a thread: always as few, so that their numbers are the same."""
        z = self.grid.codes(codes.reshape(-1, self.latent_dim))
        parts = z.split(max(1, NUMBERS_AT_ONCE // (math.prod(self.shape) * self.levels)))
        if len(parts) == 1:
            with exactly():
                return self._pixels_of(z)
        with ThreadPoolExecutor(torch.get_num_threads()) as pool:
            return joined(list(pool.map(self._alone, parts)))

    def _alone(self, z: Tensor) -> EntropyModel:
        """p(x|z) in a thread of its own."""
        with exactly(threads=1):
            return self._pixels_of(z)

    def _pixels_of(self, z: Tensor) -> EntropyModel:
        return pixels(_elementwise(self.model.likelihood(z)))

    def _mixture(self) -> Mixture:
        """p(z), when prior and posterior can be coded."""
        model = self.model
        if model.context is not None:
            raise ConfigurationError(
                "expected a model without labels to compress with, got a conditional one; train "
                "one with conditional=false"
            )
        p = as_mixture(model.prior())
        q = model.posterior(torch.zeros(1, *model.shape, dtype=torch.float64))
        if p is None or not isinstance(q, DiagonalNormal):
            raise ConfigurationError(
                "expected a StandardNormal, GaussianMixture or VampPrior prior and a "
                "DiagonalGaussian posterior to compress with, got "
                f"{type(model.prior).__name__} and {type(model.posterior).__name__}"
            )
        return p

    def _levels(self) -> int:
        """How many values an element of x has."""
        model = self.model
        z: Tensor = torch.zeros(1, model.latent_dim, dtype=torch.float64)
        levels = levels_of(_elementwise(model.likelihood(z)))
        transform = model.transform
        fits = model.is_density if levels != 2 else isinstance(transform, Identity | Scale)
        if levels is None or levels > MOST_LEVELS or not fits:
            raise ConfigurationError(
                "expected a likelihood of binary images or of grey levels, got "
                f"{type(model.likelihood).__name__} after {type(transform).__name__}, a density; "
                "train with --set likelihood=Categorical, or Bernoulli and --set binarise=true"
            )
        return levels


def _elementwise(p: Distribution) -> Distribution:
    return p.base_dist if isinstance(p, Independent) else p


def _check(block: np.ndarray) -> int:
    """A byte by which a block that went wrong is known, long before the end."""
    return zlib.crc32(block.tobytes()) & 0xFF


def block_sizes(examples: int, largest: int) -> list[int]:
    """Sizes of the blocks: each a quarter of all before it, and at most ``largest``.

    A block takes bits for its codes before it gives any back, more for each example than an example
    then leaves: so small first blocks need few bits to begin with.

    >>> block_sizes(20, 4)
    [1, 1, 1, 1, 2, 2, 3, 3, 4, 2]
    """
    sizes: list[int] = []
    done = 0
    while done < examples:
        sizes.append(min(largest, 1 + done // 4, examples - done))
        done += sizes[-1]
    return sizes
