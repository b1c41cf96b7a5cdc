"""Rows of a table as they are, rebuilt and generated, and how far these lie apart."""

from __future__ import annotations

import math
from collections.abc import Container
from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True, eq=False)
class Rows:
    """Test rows, as many of them rebuilt, and generated ones: (n, D), (n, D) and (m, D).

    What was not observed is NaN.  ``coded`` are the columns of categories.  ``distance`` is between
    the data and what is generated: the largest difference of their cumulative shares, or for
    categories half the sum of the differences of their shares.
    """

    original: np.ndarray
    rebuilt: np.ndarray
    generated: np.ndarray
    labels: np.ndarray | None
    generated_labels: np.ndarray | None
    coded: Container[int]

    @cached_property
    def distance(self) -> np.ndarray:
        """Of each column, (D,)."""
        pairs = enumerate(zip(self.original.T, self.generated.T, strict=True))
        return np.array([apart(x, y, categorical=i in self.coded) for i, (x, y) in pairs])

    def furthest(self, most: int) -> list[int]:
        """All columns, or so many whose distance is largest, in the table's order."""
        return sorted(np.argsort(-self.distance, kind="stable")[:most].tolist())

    @property
    def chance(self) -> float:
        """The distance that one in twenty columns has by chance (Kolmogorov and Smirnov)."""
        n, m = len(self.original), len(self.generated)
        return 1.36 * math.sqrt((n + m) / (n * m))


def apart(first: np.ndarray, second: np.ndarray, *, categorical: bool) -> float:
    """The distance between two samples, see `Rows`; 0 where nothing was observed.

    >>> apart(np.array([1.0, 2.0]), np.array([2.0, 3.0]), categorical=False)
    0.5
    >>> apart(np.array([0.0, 0.0, 2.0, 2.0]), np.array([0.0, 1.0]), categorical=True)
    0.5
    """
    first, second = (np.sort(values[~np.isnan(values)]) for values in (first, second))
    if not len(first) or not len(second):
        return 0.0
    places = np.union1d(first, second)
    below = [np.searchsorted(v, places, "right") / len(v) for v in (first, second)]
    difference = below[0] - below[1]
    if categorical:
        return float(np.abs(np.diff(difference, prepend=0.0)).sum() / 2)
    return float(np.abs(difference).max())


def moments(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means and standard deviations of what is observed of each column; NaN where nothing is."""
    held = np.ma.masked_invalid(table)
    return held.mean(0).filled(np.nan), held.std(0).filled(np.nan)
