"""Distributions that torch.distributions lacks, each with its KL where one is known.

None validates its arguments inside a forward pass: that would synchronise devices and break
compilation.  Parts check shapes once, where a user's value enters.
"""

from lowerbound.distributions.base import LOG_2PI, Unvalidated
from lowerbound.distributions.continuous_bernoulli import ContinuousBernoulli
from lowerbound.distributions.counts import NegativeBinomial, Poisson, ZeroInflated
from lowerbound.distributions.delta import Delta
from lowerbound.distributions.gaussian import (
    DiagonalNormal,
    OptimalNormal,
    StandardNormal,
    kl_terms,
)
from lowerbound.distributions.grey_levels import BetaBinomial, GreyDistribution, GreyLevels
from lowerbound.distributions.logistic import DiscretisedLogistic, LogisticMixture
from lowerbound.distributions.student_t import StudentT

__all__ = [
    "LOG_2PI",
    "BetaBinomial",
    "ContinuousBernoulli",
    "Delta",
    "DiagonalNormal",
    "DiscretisedLogistic",
    "GreyDistribution",
    "GreyLevels",
    "LogisticMixture",
    "NegativeBinomial",
    "OptimalNormal",
    "Poisson",
    "StandardNormal",
    "StudentT",
    "Unvalidated",
    "ZeroInflated",
    "kl_terms",
]
