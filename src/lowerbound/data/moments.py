"""Mean and variance, a batch at a time."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class Moments:
    """Running mean and variance of each column, in float64, of the elements that are not NaN.

    Source: Chan, Golub & LeVeque, Updating formulae and a pairwise algorithm for computing sample
    variances, 1979.
    """

    def __init__(self) -> None:
        self.n = self.mean = self.squares = torch.zeros((), dtype=torch.float64)

    def add(self, rows: Tensor) -> None:
        """Take in ``rows``, (n, columns)."""
        rows = rows.double()
        observed = ~rows.isnan()
        complete, n = bool(observed.all()), observed.sum(0).double()
        mean = (rows if complete else rows.where(observed, 0.0)).sum(0) / n.clamp(min=1)
        apart = rows - mean if complete else (rows - mean).where(observed, 0.0)
        squares = apart.square().sum(0)
        before, total = self.n.to(mean), self.n.to(mean) + n
        difference, over = mean - self.mean.to(mean), total.clamp(min=1)
        self.squares = self.squares.to(mean) + squares + difference**2 * (before * n / over)
        self.mean = self.mean.to(mean) + difference * (n / over)
        self.n = total

    def of(self, columns: Sequence[int]) -> Moments:
        """Those of some columns."""
        chosen = Moments()
        for name in ("n", "mean", "squares"):
            setattr(chosen, name, getattr(self, name)[list(columns)])
        return chosen

    def variance(self) -> Tensor:
        """The unbiased variance; 0 from a single row."""
        return self.squares / (self.n - 1).clamp(min=1)
