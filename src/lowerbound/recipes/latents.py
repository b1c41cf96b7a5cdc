"""Priors and posteriors by name, and what of them follows from the data and the sizes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Literal

import torch
from torch import nn

from lowerbound.context import Labels
from lowerbound.data import TrainingSet
from lowerbound.data.examples import to_train_on
from lowerbound.errors import ConfigurationError
from lowerbound.networks import MLP
from lowerbound.posteriors import DiagonalGaussian, FlowPosterior, FullGaussian
from lowerbound.priors import (
    ConditionalGaussian,
    FlowPrior,
    GaussianMixture,
    StandardNormal,
    VampPrior,
)
from lowerbound.recipes.experiment import Observation
from lowerbound.vae import VAE

PriorName = Literal[
    "StandardNormal", "ConditionalGaussian", "GaussianMixture", "VampPrior", "FlowPrior"
]
PosteriorName = Literal["DiagonalGaussian", "FullGaussian", "FlowPosterior"]
FLOW_FEATURES = 32
COMPONENTS = 100

log = logging.getLogger("lowerbound")


def compose(
    data: TrainingSet,
    latent_dim: int,
    prior: PriorName,
    posterior: PosteriorName,
    components: int | None,
    encoder: Callable[[int], nn.Module],
    decoder: nn.Module,
    observation: Observation,
    context: Labels | None,
) -> VAE:
    """A VAE with the named parts; ``encoder`` makes a network that returns so many numbers."""
    model = VAE(
        named_prior(prior, data, latent_dim, components, context),
        named_posterior(posterior, latent_dim, lambda n: observation.encoder(encoder(n))),
        observation.likelihood(decoder),
        observation.transform,
        context,
    )
    if isinstance(model.prior, VampPrior):
        start_at_data(model.prior, model, data)
    return model


def named_prior(
    name: PriorName,
    data: TrainingSet,
    latent_dim: int,
    components: int | None,
    context: Labels | None,
) -> nn.Module:
    """The prior called ``name``; ``components`` are those of a mixture, 100 where none are told.

    Raises:
        ConfigurationError: a class-conditional prior in a model that is not conditional, or
            components of a prior that has none.
    """
    if components is not None and name not in ("GaussianMixture", "VampPrior"):
        raise ConfigurationError(
            f"expected components only with prior=GaussianMixture or VampPrior, got them with "
            f"{name}; leave them out, or name one of these"
        )
    classes = context.classes if context else 0
    if name == "ConditionalGaussian":
        if context is None:
            raise ConfigurationError(
                "expected a conditional model for the ConditionalGaussian prior; add "
                "--set conditional=true"
            )
        return ConditionalGaussian(MLP(classes, (), 2 * latent_dim), latent_dim)
    if name == "GaussianMixture":
        return GaussianMixture(latent_dim, components or COMPONENTS)
    if name == "VampPrior":
        return vamp_prior(data, components or COMPONENTS)
    if name == "FlowPrior":
        return FlowPrior(latent_dim, context_dim=classes)
    return StandardNormal(latent_dim)


def named_posterior(
    name: PosteriorName, latent_dim: int, encoder: Callable[[int], nn.Module]
) -> nn.Module:
    """The posterior called ``name``, on an encoder of the size that it needs."""
    if name == "FullGaussian":
        return FullGaussian(encoder(latent_dim * (latent_dim + 3) // 2), latent_dim)
    if name == "FlowPosterior":
        return FlowPosterior(encoder(2 * latent_dim + FLOW_FEATURES), latent_dim, FLOW_FEATURES)
    return DiagonalGaussian(encoder(2 * latent_dim), latent_dim)


def vamp_prior(data: TrainingSet, components: int) -> VampPrior:
    """A VampPrior with pseudo-inputs like ``data``; no more than there are examples."""
    if components > len(data):
        log.info(
            "%s: %s pseudo-inputs, one for each example, not %s",
            data.name,
            f"{len(data):,}",
            f"{components:,}",
        )
    return VampPrior(data.shape, min(components, len(data)))


def start_at_data(prior: VampPrior, model: VAE, data: TrainingSet) -> None:
    """Put the pseudo-inputs on examples drawn from ``data``."""
    seed = int(torch.randint(2**62, ()))
    x, _ = next(to_train_on(data, torch.device("cpu")).shuffled(seed, prior.components, 0))
    prior.start_at(model.transform.noiseless(x))


def labels_of(data: TrainingSet) -> Labels:
    """The context of a model of ``data`` that is told the class.

    Raises:
        ConfigurationError: the data have no labels.
    """
    if data.labels is None:
        raise ConfigurationError(
            f"expected class labels in {data.name} for a conditional model, got none"
        )
    return Labels(len(data.classes) if data.classes else int(data.labels.max()) + 1)
