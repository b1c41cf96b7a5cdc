"""The recipes by name."""

from __future__ import annotations

from collections.abc import Callable

from lowerbound.recipes import models, published
from lowerbound.recipes.experiment import Experiment

Recipe = Callable[..., Experiment]
RECIPES: dict[str, Recipe] = {
    "mlp": models.mlp,
    "convolutional": models.convolutional,
    "linear": models.linear,
    "iwae": models.iwae,
    "tcvae": models.tcvae,
    "autoencoder": models.autoencoder,
    "wae": models.wae,
    "iwae-2": published.iwae_2,
    "vampprior": published.vampprior,
    "hierarchical-vampprior": published.hierarchical_vampprior,
    "mixture": published.mixture,
    "iaf": published.iaf,
    "flow-prior": published.flow_prior,
    "full-covariance": published.full_covariance,
}
