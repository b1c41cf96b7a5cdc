"""Distributions that torch.distributions lacks, each with its KL where one is known.

None validates its arguments inside a forward pass: that would synchronise devices and break
compilation.  Parts check shapes once, where a user's value enters.
"""

from lowerbound.distributions.base import draw, has_density
from lowerbound.distributions.composed import Chain, Conditional, Delta, Flow, Mixture, Unflattened
from lowerbound.distributions.continuous import Bernoulli, ContinuousBernoulli, StudentT
from lowerbound.distributions.discrete import (
    BetaBinomial,
    DiscretisedLogistic,
    GreyDistribution,
    GreyLevels,
    LogisticMixture,
    NegativeBinomial,
    Poisson,
    ZeroInflated,
)
from lowerbound.distributions.fields import Joint, Nominal, element_log_probs
from lowerbound.distributions.normal import (
    DiagonalNormal,
    FullNormal,
    Normal,
    OptimalNormal,
    StandardNormal,
    as_diagonal,
)
from lowerbound.distributions.sequences import Autoregressive

__all__ = [
    "Autoregressive",
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
    "Normal",
    "OptimalNormal",
    "Poisson",
    "StandardNormal",
    "StudentT",
    "Unflattened",
    "ZeroInflated",
    "as_diagonal",
    "draw",
    "element_log_probs",
    "has_density",
]
