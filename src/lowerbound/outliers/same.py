"""Which examples are among others: by all their values."""

from __future__ import annotations

from hashlib import blake2b

import torch
from torch import Tensor

from lowerbound.data import Data
from lowerbound.evaluation.walk import batch_size
from lowerbound.vae import VAE

BYTES = 8
REPEATED = 0.001
"""The share of rows that may have an equal one where values tell which row one is."""


def digests(model: VAE, data: Data) -> Tensor:
    """A number of each x, and of what a conditional ``model`` is given with it, int64, (n,)."""
    found: list[int] = []
    for x, context in data.to("cpu").batches(batch_size(model)):
        rows = x.flatten(1).double()
        if model.context is not None and context is not None:
            rows = torch.cat((rows, context.reshape(len(rows), -1).double()), 1)
        rows = torch.where(rows.isnan(), torch.nan, rows) + 0.0  # one NaN, and no -0.0
        found += (
            int.from_bytes(blake2b(row.data, digest_size=BYTES).digest(), "little", signed=True)
            for row in rows.numpy()
        )
    return torch.tensor(found, dtype=torch.int64)


def places(found: Tensor, among: Tensor, told: Tensor) -> Tensor:
    """Where each of ``found``, (n,), is ``among`` others, (m,); −1 where it is not, int64, (n,).

    −1 also of those that are not ``told`` by their values, (m,): see `telling`.

    >>> places(torch.tensor([5, 7, 1]), torch.tensor([3, 5, 1]), torch.tensor([True, True, False]))
    tensor([ 1, -1, -1])
    """
    values, order = among.sort(stable=True)
    at = torch.searchsorted(values, found).clamp(max=len(values) - 1)
    place = order[at]
    return torch.where((values[at] == found) & told[place], place, -1)


def telling(found: Tensor, others: Tensor) -> Tensor:
    """Which of the rows with digests ``found``, (n,), are told by their values, (n,).

    Those that no other row equals, of these and ``others``.  None, where more than `REPEATED` of
    all rows have an equal: then a fresh row may be equal to another too, without being it.

    >>> telling(torch.tensor([5, 7]), torch.tensor([3, 1]))
    tensor([True, True])
    >>> telling(torch.tensor([5, 7]), torch.tensor([3, 5]))
    tensor([False, False])
    """
    every = torch.cat((found, others))
    _, place, count = every.unique(return_inverse=True, return_counts=True)
    alone = count[place] == 1
    if (~alone).double().mean() > REPEATED:
        return torch.zeros_like(found, dtype=torch.bool)
    return alone[: len(found)]
