"""Mean and variance, a batch at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

# Elements taken in at a time: as many as the caches of a processor hold.
AT_ONCE = 2**17
STEPS = 2**8
"""How many of float64's steps a deviation has at least, where values are not but rounding."""


class Moments:
    """Running mean and variance of each column, in float64, of the elements that are not NaN.

    Source: Chan, Golub & LeVeque, Updating formulae and a pairwise algorithm for computing sample
    variances, 1979.
    """

    def __init__(self) -> None:
        self.n = self.mean = self.squares = torch.zeros((), dtype=torch.float64)

    def add(self, x: Tensor) -> None:
        """Take in the rows of a table x, (n, columns), or all values of other x, as one column."""
        rows = x if x.ndim == 2 else x.reshape(-1, 1)
        if x.dtype == torch.uint8 and rows.shape[1] == 1:
            levels = torch.arange(256, dtype=torch.float64, device=x.device)
            times = torch.bincount(rows[:, 0], minlength=256).double()
            mean = (times * levels).sum(0, keepdim=True) / len(rows)
            self.join(torch.full_like(mean, len(rows)), mean, (times * (levels - mean) ** 2).sum())
            return
        for part in rows.split(max(1, AT_ONCE // rows.shape[1])):
            part = part.double()
            mean = part.mean(0)
            n = torch.full_like(mean, len(part))
            if mean.isnan().any():
                n -= part.isnan().sum(0)
                mean = part.nansum(0) / n.clamp(min=1)
            self.join(n, mean, (part - mean).square_().nansum(0))

    def join(self, n: Tensor, mean: Tensor, squares: Tensor) -> None:
        """Take in, of each column, n elements of this mean and sum of squares around it."""
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

    def constant(self) -> Tensor:
        """Whether a column does not vary, but for float64's rounding of its mean."""
        step = torch.from_numpy(np.spacing(self.mean.abs().cpu().numpy()))
        return self.variance().sqrt() < STEPS * step.to(self.mean)
