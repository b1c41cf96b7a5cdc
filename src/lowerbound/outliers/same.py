"""Which examples are among others: by all their values."""

from __future__ import annotations

from hashlib import blake2b

import torch
from torch import Tensor

from lowerbound.data import Data
from lowerbound.evaluation.walk import batch_size
from lowerbound.vae import VAE

BYTES = 8


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


def places(found: Tensor, among: Tensor) -> Tensor:
    """Where each of ``found``, (n,), is ``among`` others, (m,); −1 where it is not, int64, (n,).

    >>> places(torch.tensor([5, 7]), torch.tensor([3, 5, 1]))
    tensor([ 1, -1])
    """
    values, order = among.sort(stable=True)
    at = torch.searchsorted(values, found).clamp(max=len(values) - 1)
    return torch.where(values[at] == found, order[at], -1)
