"""Evaluation: bounds, latent codes, decoded walks, and what a trained model is good for."""

from lowerbound.evaluation.aggregate import (
    AggregateKL,
    Normality,
    aggregate_kl,
    gaussian_posteriors,
    normality,
)
from lowerbound.evaluation.bounds import Estimate, Evaluation, evaluate, measures
from lowerbound.evaluation.generation import manifold, normal_quantiles, traversals
from lowerbound.evaluation.latents import embed, most_active, reconstruction_error
from lowerbound.evaluation.outliers import (
    auroc,
    compressed_size,
    example_scores,
    grey_entropy,
    mean_level,
)
from lowerbound.evaluation.smoothness import distance_agreement
from lowerbound.evaluation.uses import Clustering, accuracy, cluster, principal_codes

__all__ = [
    "AggregateKL",
    "Clustering",
    "Estimate",
    "Evaluation",
    "Normality",
    "accuracy",
    "aggregate_kl",
    "auroc",
    "cluster",
    "compressed_size",
    "distance_agreement",
    "embed",
    "evaluate",
    "example_scores",
    "gaussian_posteriors",
    "grey_entropy",
    "manifold",
    "mean_level",
    "measures",
    "most_active",
    "normal_quantiles",
    "normality",
    "principal_codes",
    "reconstruction_error",
    "traversals",
]
