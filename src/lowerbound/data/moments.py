"""Mean and variance, a batch at a time."""

from __future__ import annotations

import torch
from torch import Tensor


class Moments:
    """Running mean and variance of each column, in float64.

    Source: Chan, Golub & LeVeque, Updating formulae and a pairwise algorithm for computing sample
    variances, 1979.
    """

    def __init__(self) -> None:
        self.n = 0
        self.mean = self.squares = torch.zeros(())

    def add(self, rows: Tensor) -> None:
        """Take in ``rows``, (n, columns)."""
        rows = rows.double()
        n, mean = len(rows), rows.mean(0)
        squares = (rows - mean).square().sum(0)
        difference, total = mean - self.mean.to(mean), self.n + n
        self.squares = self.squares.to(mean) + squares + difference**2 * (self.n * n / total)
        self.mean = self.mean.to(mean) + difference * (n / total)
        self.n = total

    def variance(self) -> Tensor:
        """The unbiased variance; 0 from a single row."""
        return self.squares / max(1, self.n - 1)
