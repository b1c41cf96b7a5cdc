"""Recipes: published architectures as functions that return a composition."""

from lowerbound.recipes.experiment import Experiment, Observation, observe
from lowerbound.recipes.models import (
    RECIPES,
    Recipe,
    autoencoder,
    convolutional,
    iwae,
    linear,
    mlp,
    tcvae,
    wae,
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
    "iwae",
    "linear",
    "mlp",
    "observe",
    "parse",
    "prepare",
    "recipe_named",
    "tcvae",
    "wae",
]
