"""Rows of a table as they are, rebuilt and generated, and how far these lie apart."""

from __future__ import annotations

import math
from collections.abc import Container
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

BY_CHANCE = 0.05
"""Chance that any column of a table is further apart than `Rows.chance`."""

DIVISIONS, MANY = 1000, 500


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

    @cached_property
    def chance(self) -> np.ndarray:
        """What all columns' distances stay below by chance in 19 of 20 such tables, (D,).

        For numbers by Smirnov's inequality (1939), √(½ (1/n + 1/m) log(2 D/0.05)).  Categories are
        divided at random, each column by itself, and all are allowed the same multiple of their
        standard deviations.  By the union bound this holds however columns depend on each other,
        as −log 0.95 = 0.051: of columns divided by themselves, the chances add up to no more.
        """
        pairs = list(zip(self.original.T, self.generated.T, strict=True))
        n, m = ((~np.isnan(rows)).sum(0).clip(min=1) for rows in (self.original, self.generated))
        highest = np.sqrt(0.5 * (1 / n + 1 / m) * math.log(2 * len(pairs) / BY_CHANCE))
        if coded := [i for i in range(len(pairs)) if i in self.coded]:
            rng = np.random.default_rng(0)
            drawn = np.stack([divided(*pairs[i], rng) for i in coded])
            centre, spread = drawn.mean(1), drawn.std(1).clip(min=1e-9)
            most = ((drawn - centre[:, None]) / spread[:, None]).max(0)
            share = BY_CHANCE * len(coded) / len(pairs)
            highest[coded] = centre + np.quantile(most, 1 - share) * spread
        return highest

    @property
    def ranked(self) -> np.ndarray:
        """The columns, that first whose distance is the largest multiple of what chance makes."""
        chance = self.chance
        multiple = np.divide(
            self.distance, chance, out=np.zeros(len(chance)), where=chance > 0
        )  # 0 of a column of one category
        return np.argsort(-multiple, kind="stable")

    def furthest(self, most: int) -> list[int]:
        """All columns, or the first so many of ``ranked``, in the table's order."""
        return sorted(self.ranked[:most].tolist())


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


def divided(first: np.ndarray, second: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Distances, see `Rows`, of random divisions of two samples of categories, (DIVISIONS,)."""
    first, second = (values[~np.isnan(values)] for values in (first, second))
    n, m = len(first), len(second)
    if not n or not m:
        return np.zeros(DIVISIONS)
    _, counts = np.unique(np.concatenate((first, second)), return_counts=True)
    method: Literal["count", "marginals"] = "count" if len(counts) > MANY else "marginals"
    one = rng.multivariate_hypergeometric(counts, n, DIVISIONS, method=method)
    return np.abs(one / n - (counts - one) / m).sum(1) / 2


def moments(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means and standard deviations of what is observed of each column; NaN where nothing is."""
    held = np.ma.masked_invalid(table)
    return held.mean(0).filled(np.nan), held.std(0).filled(np.nan)
