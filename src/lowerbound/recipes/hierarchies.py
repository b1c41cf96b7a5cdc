"""Models of two stochastic layers, z₁ and z₂."""

from __future__ import annotations

import math
from collections.abc import Mapping

from lowerbound.data import Data
from lowerbound.networks import MLP, Leading
from lowerbound.parts import Size, awaiting, complete
from lowerbound.posteriors import BottomUpPosterior, DiagonalGaussian, TopDownPosterior
from lowerbound.priors import HierarchicalPrior, StandardNormal
from lowerbound.recipes.compose import named_prior, start_at_data, start_likelihood, with_network
from lowerbound.recipes.observation import Part, observe
from lowerbound.vae import VAE


def two_layers(
    data: Data, latent_dims: tuple[Size, Size] = (100, 50), hidden: tuple[Size, Size] = (200, 100)
) -> VAE:
    """q(z₁|x) q(z₂|z₁) and its mirror p(z₂) p(z₁|z₂) p(x|z₁), with tanh, on binarised x.

    Args:
        data: as of `compose`.
        latent_dims: the dimensions of z₁ and z₂.
        hidden: widths of the layers at x and at z₁.
    """
    observed = observe(data, "Bernoulli", "Binarise")
    (d_1, d_2), (wide, narrow) = latent_dims, hidden
    pixels = math.prod(data.shape)

    def gaussian(inputs: int, width: int, outputs: int) -> DiagonalGaussian:
        return DiagonalGaussian(MLP(inputs, (width, width), 2 * outputs, "tanh"), outputs)

    decoder = Leading(MLP(d_1, (wide, wide), pixels, "tanh"), d_1)
    model = VAE(
        HierarchicalPrior(StandardNormal(d_2), (gaussian(d_2, narrow, d_1),)),
        BottomUpPosterior((gaussian(pixels, wide, d_1), gaussian(d_1, narrow, d_2))),
        complete(observed.likelihood, network=decoder, shape=data.shape),
        observed.transform,
        columns=data.columns,
    )
    start_likelihood(model, data)
    return model


def two_layers_top_down(
    data: Data,
    latent_dims: tuple[Size, Size] = (40, 40),
    width: Size = 300,
    prior: Part = "VampPrior",
    likelihood: Part = "auto",
    transform: Part = None,
) -> VAE:
    """p(z₂) p(z₁|z₂) p(x|z₁,z₂) and q(z₂|x) q(z₁|x,z₂), with gated layers.

    Args:
        data: as of `compose`.
        latent_dims: the dimensions of z₁ and z₂.
        width: of all layers.
        prior: p(z₂).
        likelihood: as of `compose`.
        transform: as of `compose`.
    """
    observed = observe(data, likelihood, transform)
    d_1, d_2 = latent_dims
    sizes = {"shape": data.shape, "latent_dim": d_2, "context_dim": 0}

    def gaussian(inputs: int, outputs: int, context_dim: int = 0) -> DiagonalGaussian:
        layers = MLP(inputs, (width,), 2 * outputs, "gated", context_dim)
        return DiagonalGaussian(layers, outputs)

    top = named_prior(awaiting(prior), sizes, data)
    p_z = HierarchicalPrior(top, (gaussian(d_2, d_1),))
    features = observed.encoder(MLP(observed.inputs, (width,), width, "gated"))
    q = TopDownPosterior(features, (gaussian(width, d_1, d_2), gaussian(width, d_2)))
    gated = {"part": "MLP", "hidden": (width, width), "activation": "gated"}
    p_x = with_network(observed.likelihood, gated, sizes, d_1 + d_2)
    model = VAE(p_z, q, p_x, observed.transform, columns=data.columns)
    if isinstance(observed.likelihood, Mapping):
        start_likelihood(model, data)
    start_at_data(model, data)
    return model
