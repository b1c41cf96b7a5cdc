"""Whether values are normally distributed, by moments and by a test."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from scipy import stats
from torch import Tensor

from lowerbound.errors import ConfigurationError

FEWEST = 20


@dataclass(frozen=True)
class Normality:
    """How far one-dimensional values are from N(0, 1).

    Attributes:
        mean, variance: 0 and 1 under N(0, 1).
        skewness, excess_kurtosis: standardised third and fourth moments, 0 under any normal.
        distance: Kolmogorov–Smirnov, the largest difference of distribution functions from
            N(0, 1)'s, in [0, 1]: the size of the effect, which does not grow with n.
        p_value: of D'Agostino and Pearson's test that the values are normal, whatever their mean
            and variance; it falls with n for any fixed departure.
    """

    mean: float
    variance: float
    skewness: float
    excess_kurtosis: float
    distance: float
    p_value: float


def normality(values: Float[Tensor, " n"]) -> Normality:
    """Moments of ``values``, and how well N(0, 1) describes them.

    Source of the test: D'Agostino & Pearson, Tests for departure from normality, Biometrika 1973.

    Raises:
        ConfigurationError: fewer than 20 values, too few for the test.
    """
    if len(values) < FEWEST:
        raise ConfigurationError(
            f"expected at least {FEWEST} values to judge their normality, got {len(values)}"
        )
    array = values.double().numpy()
    return Normality(
        float(array.mean()),
        float(array.var(ddof=1)),
        float(stats.skew(array)),
        float(stats.kurtosis(array)),
        float(stats.kstest(array, "norm").statistic),
        float(stats.normaltest(array).pvalue),
    )
