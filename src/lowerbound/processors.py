"""Threads and the processors that they find: others may have taken some of those."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

PERIOD = 3.0  # seconds between two looks
OFTEN = 2  # looks in a row that find processors taken
SIZE, SPAN = 384, 0.03  # of the matrices, and seconds of products of them, in a look
NO_FASTER = 0.8  # of what one thread takes; two that are free take half of it


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Within, torch has so many threads."""
    kept = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(kept)


class Sharing:
    """Calls functions with one thread instead of several where others have taken processors.

    Threads that share an operation wait for the last of them, so a processor that another process
    has makes all of them slow.  Results do not depend on it: where a function's has other bits with
    one thread, which is tried once for each shape of its argument, it is called with all.
    """

    def __init__(self) -> None:
        self.most, self.met = torch.get_num_threads(), 0
        self.same: dict[torch.Size, bool] = {}
        self.looked = time.monotonic()

    def __enter__(self) -> Sharing:
        return self

    def __exit__(self, *_: object) -> None:
        torch.set_num_threads(self.most)

    def __call__(self, function: Callable[[Tensor], Tensor], z: Tensor) -> Tensor:
        """``function`` of z, which draws no random numbers."""
        if self.most > 1 and time.monotonic() - self.looked > PERIOD:
            self.met = self.met + 1 if taken(self.most) else 0
            self.looked = time.monotonic()
        alone = self.met >= OFTEN and self.same.get(z.shape, True)
        torch.set_num_threads(1 if alone else self.most)
        found = function(z)
        if alone and z.shape not in self.same:
            with threads(self.most):
                usual = function(z)
            self.same[z.shape] = torch.equal(found, usual)
            return usual
        return found


def taken(most: int) -> bool:
    """Whether matrix products are hardly faster with ``most`` threads than with one.

    They are timed for longer than a scheduler's slice: in a few of them alone others do not show.
    """
    a = torch.ones(SIZE, SIZE)

    def seconds(count: int) -> float:
        done = 0
        with threads(count):
            started = time.perf_counter()
            while (spent := time.perf_counter() - started) < SPAN or not done:
                a @ a
                done += 1
        return spent / done

    return seconds(most) > NO_FASTER * seconds(1)
