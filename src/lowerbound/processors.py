"""Threads and the processors that they find: others may have taken some of those."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

PERIOD = 1.0  # seconds between two looks
OFTEN = 2  # looks in a row that find processors taken
SIZE, TIMES = 384, 5  # of the matrices, and products of them, in a look
SLOWER = 1.2  # times what one thread takes


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
    """Whether matrix products are slower with ``most`` threads than with one."""
    a = torch.ones(SIZE, SIZE)

    def seconds(count: int) -> float:
        times = []
        with threads(count):
            for _ in range(TIMES):
                started = time.perf_counter()
                a @ a
                times.append(time.perf_counter() - started)
        return statistics.median(times)

    return seconds(most) > SLOWER * seconds(1)
