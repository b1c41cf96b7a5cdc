"""What lowerbound changes in the process that imports it: two settings, and nothing else.

Both make training faster or its results steadier.  ``LOWERBOUND_TUNE=0`` in the environment keeps
lowerbound from making either.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

MMAP_THRESHOLD, TRIM_THRESHOLD = -3, -1  # their numbers in malloc.h
LARGEST, KEPT = 32 * 2**20, 256 * 2**20


def may_tune() -> bool:
    """Whether the user lets lowerbound change settings of the process."""
    return os.environ.get("LOWERBOUND_TUNE") != "0"


def choose_products() -> None:
    """Let MKL's matrix products have the same bits on any number of threads.

    So the threads of a training may change in number, as others take processors or leave them, and
    the weights do not.  MKL calls it conditional numerical reproducibility; it costs no speed where
    the instructions are the best that the processor has.

    Called when lowerbound is imported, since MKL reads the choice before its first product: it may
    have no effect on a torch that is loaded already.  A user's own choice is left alone.
    """
    if may_tune() and "MKL_CBWR" not in os.environ and (instructions := _instructions()):
        os.environ["MKL_CBWR"] = f"{instructions},STRICT"


def _instructions() -> str | None:
    """The widest vectors that the processor multiplies, as MKL calls them; None if unknown."""
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as processors:  # the first is told first
            flags = next((line for line in processors if line.startswith("flags")), "").split()
    except OSError:
        return None
    known = {"avx512f": "AVX512", "avx2": "AVX2"}
    return next((name for flag, name in known.items() if flag in flags), None)


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
