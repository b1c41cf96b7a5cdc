"""Rows of a table as they are, rebuilt and generated, and how far these lie apart."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import torch

from lowerbound.diagnosis.association import associations
from lowerbound.diagnosis.held_out import distribution_distance

BY_CHANCE = 0.05
"""Chance that any column of a table is further apart than `Rows.chance`."""

DIVISIONS, MANY = 1000, 500
PAIRED = 200
"""Columns of which each pair is looked at."""


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
    coded: Collection[int]

    @cached_property
    def distance(self) -> np.ndarray:
        """Of each column, (D,)."""
        samples = self.original, self.generated
        tables = (torch.from_numpy(np.ascontiguousarray(each)) for each in samples)
        found = distribution_distance(*tables).numpy()
        for i in range(len(found)):
            if i in self.coded:
                found[i] = shares_apart(*(each[:, i] for each in samples))
        return found

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

    @cached_property
    def associations(self) -> tuple[np.ndarray, np.ndarray]:
        """Of the `PAIRED` first columns of ``ranked``, each with each, in data and generated."""
        shown = self.ranked[:PAIRED]
        coded = [k for k, i in enumerate(shown) if i in self.coded]
        data, generated = (
            associations(x[:, shown], coded) for x in (self.original, self.generated)
        )
        return data, generated

    def pairs(self, most: int) -> list[tuple[int, int]]:
        """Places in ``ranked`` of pairs of columns, those first whose association differs most."""
        apart = np.abs(np.subtract(*self.associations))
        first, second = np.triu_indices(len(apart), 1)
        found = np.nan_to_num(apart[first, second], nan=-1.0)
        order = np.argsort(-found, kind="stable")[:most]
        return [(int(first[k]), int(second[k])) for k in order if found[k] >= 0]


def shares_apart(first: np.ndarray, second: np.ndarray) -> float:
    """Half the sum of the differences of categories' shares; 0 where nothing was observed.

    >>> shares_apart(np.array([0.0, 0.0, 2.0, 2.0]), np.array([0.0, 1.0]))
    0.5
    """
    samples = [values[~np.isnan(values)] for values in (first, second)]
    if not all(map(len, samples)):
        return 0.0
    _, place = np.unique(np.concatenate(samples), return_inverse=True)
    one, other = np.split(place, [len(samples[0])])
    counts = (np.bincount(each, minlength=place.max() + 1) for each in (one, other))
    shares = (count / count.sum() for count in counts)
    return float(np.abs(np.subtract(*shares)).sum() / 2)


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
