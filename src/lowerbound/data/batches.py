"""Some examples of a data set, their order, and their codes."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Batch(NamedTuple):
    """Examples x, (batch, *shape), as they are kept, and their ``context``.

    That is their classes, (batch,), or covariates, (batch, C).

    An element of x that was not observed is NaN.
    """

    x: Tensor
    context: Tensor | None

    def at(self, rows: slice | Tensor) -> Batch:
        """The examples at ``rows``: a slice, their numbers from 0, or a truth value for each."""

        def of(values: Tensor) -> Tensor:
            if isinstance(rows, slice) or rows.dtype == torch.bool:
                return values[rows]
            return values.index_select(0, rows)  # takes a fraction of the time of indexing

        return Batch(of(self.x), None if self.context is None else of(self.context))

    def to(self, device: str | torch.device) -> Batch:
        """The same on ``device``."""
        return Batch(self.x.to(device), None if self.context is None else self.context.to(device))


def recode(x: Tensor, columns: range, codes: Tensor) -> None:
    """Put ``codes`` in the place of the codes in some columns of x, where they are not NaN."""
    values = x[:, columns.start : columns.stop]
    seen = ~values.isnan()
    values[seen] = codes.to(x)[values[seen].long()]


def permutation(n: int, seed: int) -> Tensor:
    """A permutation of n numbers, the same for the same seed on every device."""
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed))
