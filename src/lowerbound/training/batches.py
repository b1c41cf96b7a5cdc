"""How many batches there are, and whose share of each is whose."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from lowerbound.data import Batch
from lowerbound.errors import ConfigurationError


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


@contextmanager
def of_two_or_more(n: int, batch_size: int) -> Iterator[None]:
    """Inside the ``with``, BatchNorm, which takes no variance over one row, says so in words."""
    try:
        yield
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise ConfigurationError(
            "expected batches of two rows or more for a network with BatchNorm, got one of a "
            f"single row ({n:,} rows in batches of {batch_size:,}); choose another batch_size"
        ) from None
