"""The fully connected model of several documents, made of the library's parts."""

from __future__ import annotations

import math

from lowerbound.likelihoods import Bernoulli, Gaussian, Sigma
from lowerbound.networks import MLP
from lowerbound.posteriors import Deterministic, DiagonalGaussian
from lowerbound.priors import StandardNormal
from lowerbound.transforms import Scale, Transform
from lowerbound.vae import VAE

SHAPE = (1, 28, 28)
PIXELS = math.prod(SHAPE)
GREYS = Scale()


def dense(
    hidden: tuple[int, ...],
    latent_dim: int,
    *,
    variational: bool = False,
    sigma: Sigma | None = None,
    shape: tuple[int, ...] = SHAPE,
    transform: Transform = GREYS,
) -> VAE:
    """An autoencoder, or a VAE: x, ``hidden``, z, and the same layers back.

    Its likelihood is Bernoulli, with grey levels as soft targets, or with ``sigma`` Gaussian.
    """
    numbers = 2 * latent_dim if variational else latent_dim
    encoder = MLP(math.prod(shape), hidden, numbers)
    decoder = MLP(latent_dim, hidden[::-1], math.prod(shape))
    posterior = DiagonalGaussian if variational else Deterministic
    return VAE(
        StandardNormal(latent_dim),
        posterior(encoder, latent_dim),
        Bernoulli(decoder, shape) if sigma is None else Gaussian(decoder, shape, sigma),
        transform,
    )
