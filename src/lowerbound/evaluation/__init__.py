"""Evaluation: bounds, their gaps, latent codes, decoded walks."""

from lowerbound.evaluation.aggregate import KLParts, aggregate_kl, decompose_kl, gaussian_posteriors
from lowerbound.evaluation.annealing import Annealed, Bracket, anneal, bracket
from lowerbound.evaluation.bounds import Bound, Evaluation, evaluate
from lowerbound.evaluation.chains import Convergence, bulk_ess, convergence, split_r_hat
from lowerbound.evaluation.estimates import Between, Estimate, estimate
from lowerbound.evaluation.examples import example_scores, grey_entropy
from lowerbound.evaluation.gaps import Gaps, gaps
from lowerbound.evaluation.importance import EffectiveSamples
from lowerbound.evaluation.imputation import Imputed, impute
from lowerbound.evaluation.latents import (
    embed,
    manifold,
    most_active,
    normal_quantiles,
    reconstruct,
    reconstruction_error,
    traversals,
)
from lowerbound.evaluation.rates import Rate, rate_distortion
from lowerbound.evaluation.weight_likelihoods import weight_log_likelihoods

__all__ = [
    "Annealed",
    "Between",
    "Bound",
    "Bracket",
    "Convergence",
    "EffectiveSamples",
    "Estimate",
    "Evaluation",
    "Gaps",
    "Imputed",
    "KLParts",
    "Rate",
    "aggregate_kl",
    "anneal",
    "bracket",
    "bulk_ess",
    "convergence",
    "decompose_kl",
    "embed",
    "estimate",
    "evaluate",
    "example_scores",
    "gaps",
    "gaussian_posteriors",
    "grey_entropy",
    "impute",
    "manifold",
    "most_active",
    "normal_quantiles",
    "rate_distortion",
    "reconstruct",
    "reconstruction_error",
    "split_r_hat",
    "traversals",
    "weight_log_likelihoods",
]
