"""Likelihoods p(x|z) or p(x|z,c): modules whose call returns a distribution over x.

Each takes a network from z, (batch, latent), to the ``numbers`` that its distribution needs for
each element of x, and the ``shape`` of one x.  ``support`` says on which data the likelihood is a
density or a probability:

    "binary"      x ∈ {0, 1}
    "grey"        x ∈ {0, 1/255, …, 1}
    "continuous"  x ∈ ℝ, or [0, 1]
    "zero-inflated"  x ∈ ℝ, of which 0 has a probability
    "counts"      x ∈ {0, 1, 2, …}
    "categories"  x ∈ {0, …, K − 1}, the numbers of categories, or of levels
    "tokens"      the same, one after the other

The distribution is an ``Independent``, but for tokens and rows of several fields; on grey levels
its ``base_dist`` has `level_log_probs`, the log-probability of every level of each element.
"""

from lowerbound.likelihoods.base import TAKES, Likelihood, Support
from lowerbound.likelihoods.continuous import (
    Bernoulli,
    ContinuousBernoulli,
    Gaussian,
    NormalMixture,
    Sigma,
    StudentT,
)
from lowerbound.likelihoods.counts import NegativeBinomial, Poisson, ZeroInflatedNegativeBinomial
from lowerbound.likelihoods.fields import Heterogeneous, Nominal, Ordinal
from lowerbound.likelihoods.grey import (
    BetaBinomial,
    Categorical,
    DiscretisedLogistic,
    GreyLikelihood,
    LogisticMixture,
)
from lowerbound.likelihoods.inflated import ZeroInflated
from lowerbound.likelihoods.sequences import Autoregressive

__all__ = [
    "TAKES",
    "Autoregressive",
    "Bernoulli",
    "BetaBinomial",
    "Categorical",
    "ContinuousBernoulli",
    "DiscretisedLogistic",
    "Gaussian",
    "GreyLikelihood",
    "Heterogeneous",
    "Likelihood",
    "LogisticMixture",
    "NegativeBinomial",
    "Nominal",
    "NormalMixture",
    "Ordinal",
    "Poisson",
    "Sigma",
    "StudentT",
    "Support",
    "ZeroInflated",
    "ZeroInflatedNegativeBinomial",
]
