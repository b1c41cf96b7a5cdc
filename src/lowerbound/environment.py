"""What lowerbound changes in the process that imports it: two settings, and nothing else.

Both make training faster and leave its numbers alone.  ``LOWERBOUND_TUNE=0`` in the environment
keeps lowerbound from making either.
"""

from __future__ import annotations

import os
import sys

SPINS = "1000"
MMAP_THRESHOLD, TRIM_THRESHOLD = -3, -1  # their numbers in malloc.h
LARGEST, KEPT = 32 * 2**20, 256 * 2**20


def may_tune() -> bool:
    """Whether the user lets lowerbound change settings of the process."""
    return os.environ.get("LOWERBOUND_TUNE") != "0"


def choose_waiting() -> None:
    """Let waiting threads of GNU's OpenMP spin for some microseconds, and then sleep.

    Left to itself it lets them spin for milliseconds.  When another process has one of the cores,
    the threads then wait for each other on the core that both need.  Sleeping at once
    (OMP_WAIT_POLICY=passive) costs a wake-up for each of the hundred parallel operations of a
    training step.  `benchmarks/threads.py` measures all three.

    Called when lowerbound is imported, since torch reads the choice when it is imported itself: it
    has no effect on a torch that is loaded already.  A user's own choice is left alone.
    """
    if may_tune() and not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys():
        os.environ["GOMP_SPINCOUNT"] = SPINS


def keep_freed_memory() -> None:
    """Let glibc keep up to 256 MiB that were freed, instead of giving them back at once.

    Each step, of training or of evaluation, frees what the next one allocates.  By default large
    pieces go back to the system, which must then clear every page anew: hundreds of page faults per
    step.  Called when training or an evaluation begins; nothing happens with another C library.
    """
    if sys.platform != "linux" or not may_tune():
        return
    import ctypes

    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(MMAP_THRESHOLD, LARGEST)
        mallopt(TRIM_THRESHOLD, KEPT)
