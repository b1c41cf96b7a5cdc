"""How many batches there are, and whose share of each is whose."""

from __future__ import annotations

from lowerbound.data import Batch


def steps_per_epoch(n: int, batch_size: int) -> int:
    """Batches in one pass; the last may be smaller."""
    return -(-n // batch_size)


def share(batch: Batch, rank: int, world: int) -> Batch:
    """This process's share of a joint batch."""
    if world == 1:
        return batch
    x, labels = batch
    mine = None if labels is None else labels.tensor_split(world)[rank]
    return Batch(x.tensor_split(world)[rank], mine)
