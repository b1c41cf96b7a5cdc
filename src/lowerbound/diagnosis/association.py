"""How the columns of a table hang together, whatever they hold: one number for each pair.

Numbers count by their ranks, so that no unit and no tail decides; categories by which they are.

=========================== ====================================================================
two columns of numbers      the correlation of their ranks, −1 to 1 (Spearman 1904)
numbers and categories      the correlation ratio of the ranks, 0 to 1, less what chance makes
two columns of categories   Cramér's V, 0 to 1, less what chance makes (Bergsma, A bias-correction
                            for Cramér's V and Tschuprow's T, 2013)
=========================== ====================================================================
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

LEAST = 10
"""Rows in which both columns are observed below which nothing is said of a pair."""


def associations(table: np.ndarray, coded: Collection[int] = ()) -> np.ndarray:
    """The association of each pair of columns, (D, D); NaN where either does not vary.

    Args:
        table: (n, D), NaN where nothing was observed.
        coded: the numbers of the columns of categories, by their codes.
    """
    size = table.shape[1]
    found = np.full((size, size), np.nan)
    numbers = [i for i in range(size) if i not in coded]
    ranked = np.stack([ranks(table[:, i]) for i in numbers], 1) if numbers else table[:, :0]
    found[np.ix_(numbers, numbers)] = correlations(ranked)
    one_hots = {i: one_hot(table[:, i]) for i in range(size) if i in coded}
    for i, own in one_hots.items():
        found[i, numbers] = found[numbers, i] = correlation_ratios(own, ranked)
        for j in (j for j in one_hots if j <= i):
            found[i, j] = found[j, i] = cramers_v(own, one_hots[j])
    return found


def ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1, ties in their middle, NaN where nothing was observed.

    >>> ranks(np.array([5.0, np.nan, 7.0, 5.0]))
    array([1.5, nan, 3. , 1.5])
    """
    found, seen = np.full(len(values), np.nan), ~np.isnan(values)
    _, place, times = np.unique(values[seen], return_inverse=True, return_counts=True)
    found[seen] = (times.cumsum() - (times - 1) / 2)[place]
    return found


def one_hot(codes: np.ndarray) -> np.ndarray:
    """(n, K) of the K codes that occur, a row of zeros where nothing was observed."""
    return (codes[:, None] == np.unique(codes[~np.isnan(codes)])).astype(float)


def correlations(table: np.ndarray) -> np.ndarray:
    """Pearson's of each pair, (D, D), of the rows in which both are observed."""
    seen = (~np.isnan(table)).astype(float)
    values = np.nan_to_num(table)
    centred = (values - values.sum(0) / seen.sum(0).clip(min=1)) * seen
    n = seen.T @ seen
    with np.errstate(divide="ignore", invalid="ignore"):
        sums = centred.T @ seen
        squares = (centred**2).T @ seen - sums**2 / n
        found = (centred.T @ centred - sums * sums.T / n) / np.sqrt(squares * squares.T)
    return np.where((n >= LEAST) & np.isfinite(found), found.clip(-1, 1), np.nan)


def correlation_ratios(own: np.ndarray, table: np.ndarray) -> np.ndarray:
    """η of columns (n, D) by categories (n, K) as `one_hot` has them, (D,).

    η² = 1 − (1 − η̂²)(n − 1)/(n − K) is 0 by chance in expectation.
    """
    seen = (~np.isnan(table)) & (own.sum(1) > 0)[:, None]
    n, values = seen.sum(0), np.where(seen, table, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        values = np.where(seen, values - values.sum(0) / n, 0.0)
        counts, sums = own.T @ seen, own.T @ values
        between = np.where(counts > 0, sums**2 / counts, 0.0).sum(0)
        rest = 1 - between / (values**2).sum(0)
        found = 1 - rest * (n - 1) / (n - (counts > 0).sum(0))
    varies = (n >= LEAST) & ((counts > 0).sum(0) > 1) & np.isfinite(found)
    return np.where(varies, np.sqrt(found.clip(0, 1)), np.nan)


def cramers_v(first: np.ndarray, second: np.ndarray) -> float:
    """V of two columns of categories as `one_hot` has them; NaN where either does not vary."""
    table = first.T @ second
    table = table[table.any(1)][:, table.any(0)]
    n, (r, c) = table.sum(), table.shape
    if n < LEAST or min(r, c) < 2:
        return float("nan")
    expected = np.outer(table.sum(1), table.sum(0)) / n
    excess = ((table - expected) ** 2 / expected).sum() / n - (r - 1) * (c - 1) / (n - 1)
    most = min(each - 1 - (each - 1) ** 2 / (n - 1) for each in (r, c))
    return float(np.sqrt(np.clip(excess / most, 0, 1))) if most > 0 else float("nan")
