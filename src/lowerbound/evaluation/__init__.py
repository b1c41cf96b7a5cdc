"""Evaluation: bounds, their gaps, latent codes, decoded walks, what a model is good for."""

from lowerbound.evaluation.aggregate import (
    Normality,
    aggregate_kl,
    gaussian_posteriors,
    normality,
)
from lowerbound.evaluation.annealing import Annealed, Bracket, anneal, bracket
from lowerbound.evaluation.bounds import (
    Between,
    Bound,
    Estimate,
    Evaluation,
    evaluate,
    measures,
)
from lowerbound.evaluation.decomposition import KLParts, decompose_kl
from lowerbound.evaluation.gaps import Gaps, gaps
from lowerbound.evaluation.generation import manifold, normal_quantiles, traversals
from lowerbound.evaluation.importance import EffectiveSamples
from lowerbound.evaluation.latents import embed, most_active, reconstruction_error
from lowerbound.evaluation.outliers import (
    auroc,
    compressed_size,
    example_scores,
    grey_entropy,
    mean_level,
)
from lowerbound.evaluation.rates import Rate, rate_distortion
from lowerbound.evaluation.smoothness import distance_agreement
from lowerbound.evaluation.uses import Clustering, accuracy, cluster, principal_codes

__all__ = [
    "Annealed",
    "Between",
    "Bound",
    "Bracket",
    "Clustering",
    "EffectiveSamples",
    "Estimate",
    "Evaluation",
    "Gaps",
    "KLParts",
    "Normality",
    "Rate",
    "accuracy",
    "aggregate_kl",
    "anneal",
    "auroc",
    "bracket",
    "cluster",
    "compressed_size",
    "decompose_kl",
    "distance_agreement",
    "embed",
    "evaluate",
    "example_scores",
    "gaps",
    "gaussian_posteriors",
    "grey_entropy",
    "manifold",
    "mean_level",
    "measures",
    "most_active",
    "normal_quantiles",
    "normality",
    "principal_codes",
    "rate_distortion",
    "reconstruction_error",
    "traversals",
]
