"""Evaluation: bounds, latent codes, and decoded walks."""

from lowerbound.evaluation.bounds import Estimate, Evaluation, evaluate, measures
from lowerbound.evaluation.generation import manifold, normal_quantiles, traversals
from lowerbound.evaluation.latents import embed, most_active

__all__ = [
    "Estimate",
    "Evaluation",
    "embed",
    "evaluate",
    "manifold",
    "measures",
    "most_active",
    "normal_quantiles",
    "traversals",
]
