"""Recipes: published architectures as functions that return a composition."""

from lowerbound.recipes.catalogue import RECIPES, Recipe
from lowerbound.recipes.experiment import Experiment, Observation, observe
from lowerbound.recipes.models import (
    autoencoder,
    convolutional,
    iwae,
    linear,
    mlp,
    tcvae,
    wae,
)
from lowerbound.recipes.published import (
    flow_prior,
    full_covariance,
    hierarchical_vampprior,
    iaf,
    iwae_2,
    mixture,
    vampprior,
)
from lowerbound.recipes.settings import arguments_of, check, parse, prepare, recipe_named

__all__ = [
    "RECIPES",
    "Experiment",
    "Observation",
    "Recipe",
    "arguments_of",
    "autoencoder",
    "check",
    "convolutional",
    "flow_prior",
    "full_covariance",
    "hierarchical_vampprior",
    "iaf",
    "iwae",
    "iwae_2",
    "linear",
    "mixture",
    "mlp",
    "observe",
    "parse",
    "prepare",
    "recipe_named",
    "tcvae",
    "vampprior",
    "wae",
]
