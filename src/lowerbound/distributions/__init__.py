"""Distributions that torch.distributions lacks, each with its KL where one is known.

None validates its arguments inside a forward pass: that would synchronise devices and break
compilation.  Parts check shapes once, where a user's value enters.
"""

from lowerbound.distributions.base import LOG_2PI, Unvalidated
from lowerbound.distributions.bernoulli import Bernoulli
from lowerbound.distributions.chain import Chain, Conditional
from lowerbound.distributions.continuous_bernoulli import ContinuousBernoulli
from lowerbound.distributions.counts import NegativeBinomial, Poisson, ZeroInflated
from lowerbound.distributions.delta import Delta
from lowerbound.distributions.fields import Joint, Nominal
from lowerbound.distributions.flow import Flow
from lowerbound.distributions.full_normal import FullNormal
from lowerbound.distributions.gaussian import (
    DiagonalNormal,
    OptimalNormal,
    StandardNormal,
    kl_terms,
)
from lowerbound.distributions.grey_levels import BetaBinomial, GreyDistribution, GreyLevels
from lowerbound.distributions.logistic import DiscretisedLogistic, LogisticMixture
from lowerbound.distributions.mixture import Mixture
from lowerbound.distributions.student_t import StudentT
from lowerbound.distributions.unflattened import Unflattened

__all__ = [
    "LOG_2PI",
    "Bernoulli",
    "BetaBinomial",
    "Chain",
    "Conditional",
    "ContinuousBernoulli",
    "Delta",
    "DiagonalNormal",
    "DiscretisedLogistic",
    "Flow",
    "FullNormal",
    "GreyDistribution",
    "GreyLevels",
    "Joint",
    "LogisticMixture",
    "Mixture",
    "NegativeBinomial",
    "Nominal",
    "OptimalNormal",
    "Poisson",
    "StandardNormal",
    "StudentT",
    "Unflattened",
    "Unvalidated",
    "ZeroInflated",
    "kl_terms",
]
