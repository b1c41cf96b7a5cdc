"""A VAE in exact arithmetic and on grids, so that it can code."""

from __future__ import annotations

import copy
import math
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Bernoulli, Distribution, Independent

from lowerbound.compression.bits_back import BitsBack
from lowerbound.compression.coders import Coder, Model, pixels
from lowerbound.compression.exact_arithmetic import exactly
from lowerbound.compression.latent_grid import BITS
from lowerbound.compression.mixture_prior import MixturePrior, as_mixture
from lowerbound.distributions import DiagonalNormal, Mixture
from lowerbound.errors import ConfigurationError
from lowerbound.transforms import Identity, Scale
from lowerbound.vae import VAE
from lowerbound.weight_draws import WeightDraws

NUMBERS_AT_ONCE, NUMBERS_PER_BLOCK = 2**20, 2**22
LARGEST_BLOCK, MOST_LEVELS = 500, 256


class ExactVAE:
    """The distributions of a VAE as coders of blocks of symbols x and of their codes z.

    Attributes:
        levels: values that an element of x can have.
        block: the most examples in a block, so that all their probabilities fit in memory.
        taken: numbers that are taken off the stack for each example.

    Raises:
        ConfigurationError: the model has another prior, posterior or likelihood than can be coded.
    """

    def __init__(self, model: VAE, bits: int = BITS) -> None:
        self.model = copy.deepcopy(model).cpu().double().eval()
        self.latent_dim, self.shape = model.latent_dim, model.shape
        with exactly():
            self.prior = MixturePrior(self._mixture(), bits)
            self.levels = self._levels()
        self.grid = self.prior.grid
        self.numbers = math.prod(self.shape) * self.levels
        self.block = max(1, min(LARGEST_BLOCK, NUMBERS_PER_BLOCK // self.numbers))
        self.taken = self.latent_dim + (self.prior.components > 1)

    def coder(self, n: int) -> BitsBack:
        """The coder of a block of n examples, at −ELBO nats for each.

        The networks see the block at once: all its codes are taken before the first x is put on.
        """
        return BitsBack(self.posterior, self.likelihood, self.prior.coder(n))

    def posterior(self, x: np.ndarray) -> Coder:
        """q(z|x)."""
        with exactly():
            values = torch.from_numpy(x).double().reshape(-1, *self.shape) / (self.levels - 1)
            return self.grid.posterior(self.model.posterior(values))

    def likelihood(self, z: np.ndarray) -> Coder:
        """p(x|z), a few examples to a thread: always as few, so that their numbers are the same."""
        codes = self.grid.codes(z).reshape(-1, self.latent_dim)
        parts = codes.split(max(1, NUMBERS_AT_ONCE // self.numbers))
        if len(parts) == 1:
            return Coder.joining(self._pixels(codes))
        with ThreadPoolExecutor(torch.get_num_threads()) as pool:
            return Coder.joining(*pool.map(partial(self._pixels, threads=1), parts))

    def _pixels(self, codes: Tensor, threads: int | None = None) -> Model:
        with exactly(threads):
            return pixels(_elements(self.model.likelihood(codes)))

    def _mixture(self) -> Mixture:
        """p(z), if prior and posterior can be coded."""
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
        """How many values an element of x can have, if the likelihood can be coded."""
        model, transform = self.model, self.model.transform
        if getattr(model.likelihood, "vocabulary", None) is not None:
            raise ConfigurationError(
                "expected a model of images or of rows, got one of tokens, whose sequences cannot "
                "be compressed yet; use xz for them"
            )
        if isinstance(model.likelihood, WeightDraws):
            raise ConfigurationError(
                "expected a model of one set of weights to compress with, got one of "
                f"{model.likelihood.draws} draws of them; train it without a sampler"
            )
        z = torch.zeros(1, model.latent_dim, dtype=torch.float64)
        p = _elements(model.likelihood(z))
        levels = 2 if isinstance(p, Bernoulli) else getattr(p, "levels", None)
        fits = model.is_density if levels != 2 else isinstance(transform, Identity | Scale)
        if levels is None or levels > MOST_LEVELS or not fits:
            raise ConfigurationError(
                "expected a likelihood of binary images or of grey levels, got "
                f"{type(model.likelihood).__name__} after {type(transform).__name__}, a density; "
                "train with --set likelihood=Categorical, or --set transform=Binarise"
            )
        return levels


def _elements(p: Distribution) -> Distribution:
    return p.base_dist if isinstance(p, Independent) else p
