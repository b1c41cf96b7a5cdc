"""Columns of numbers in which one is met far more often than any near it, such as 0."""

from __future__ import annotations

import math

from torch import Tensor

from lowerbound.data.schema import LEAST_TIMES, Levels
from lowerbound.errors import DataError

LEAST_SHARE, ABOVE, NEAR = 0.04, 3, 1 / 20
SAMPLE = 1000
LARGE = 100
"""What whole numbers beside the commonest are on average, whatever their signs, to be no counts."""


def spike_of(column: Tensor) -> Levels:
    """The levels of a zero-inflated field of a ``column`` (n,), NaN where missing; or None.

    The commonest number must be met in 4 % of the rows, and three times as often as those next to
    it and all within a twentieth of the column's range: rounding makes neighbours equally common.
    """
    known = column[~column.isnan()]
    some = known[:: max(1, len(known) // SAMPLE)]
    if len(some) == 0 or (some == some.mode().values).double().mean() < LEAST_SHARE / 2:
        return None
    values, times = known.unique(return_counts=True)
    most, at = times.max(0)
    others = len(known) - int(most)
    if most < max(LEAST_TIMES, LEAST_SHARE * len(known)) or others < LEAST_TIMES:
        return None
    near = (values - values[at]).abs() <= NEAR * (values[-1] - values[0])
    near[max(int(at) - 1, 0) : int(at) + 2] = True
    near[at] = False
    if bool((ABOVE * times[near] > most).any()):
        return None
    size = known[known != values[at]].double().abs().mean()
    if bool((values == values.floor()).all()) and size < LARGE:
        return None
    return _sided(values, values[at].item())


def told_spike(column: Tensor, where: str) -> Levels:
    """The same of a column of which it was said: 0 if there are zeros, or the commonest number.

    Raises:
        DataError: no number is met twice, or there is only one.
    """
    values, times = column[~column.isnan()].unique(return_counts=True)
    zero = values == 0
    at = int((zero if zero.any() else times).int().argmax())
    if len(values) < 2 or (times[at] < 2 and not zero.any()):
        raise DataError(
            f"{where}: expected a number in several rows and others beside it, as its kind is "
            f"zero-inflated, got {len(values):,} different ones; say real"
        )
    return _sided(values, values[at].item())


def _sided(values: Tensor, spike: float) -> Levels:
    """The spike, and the side on which there is nothing, of ascending ``values``."""
    if values[0] == spike:
        return spike, math.inf
    return (-math.inf, spike) if values[-1] == spike else (spike,)
