"""exp on a grid, computed in decimal arithmetic and so correctly rounded on every machine."""

from __future__ import annotations

import functools
from decimal import Context, Decimal

import numpy as np
from torch import Tensor

from lowerbound.compression.exact import not_finite


@functools.cache
def exponentials(low: float, high: float, steps: int) -> np.ndarray:
    """exp(k/steps) for the whole numbers k from low × steps to high × steps, whole numbers too.

    >>> exponentials(-1, 1, 2).round(3).tolist()
    [0.368, 0.607, 1.0, 1.649, 2.718]
    """
    context = Context(prec=28)
    numbers = range(int(low * steps), int(high * steps) + 1)
    return np.array([float(context.exp(context.divide(Decimal(k), steps))) for k in numbers])


def exp_on_grid(x: Tensor, low: float, high: float, steps: int) -> np.ndarray:
    """exp of x, rounded to multiples of 1/steps from ``low`` to ``high``.

    Raises:
        DataError: an x is NaN.
    """
    if x.isnan().any():
        raise not_finite()
    index = ((x * steps).round().clamp(low * steps, high * steps) - low * steps).long()
    # Indexing keeps the order in memory of the index; the coder wants rows one after the other.
    return np.ascontiguousarray(exponentials(low, high, steps)[index.numpy()])
