"""How the C library hands out memory."""

from __future__ import annotations

import ctypes
import sys

MMAP_THRESHOLD, TRIM_THRESHOLD = -3, -1  # their numbers in malloc.h
LARGEST, KEPT = 32 * 2**20, 256 * 2**20


def keep_freed_memory() -> None:
    """Let glibc keep up to 256 MiB that were freed, instead of giving them back at once.

    Each step, of training or of judging, frees what the next one allocates.  By default large
    pieces go back to the system, which must then clear every page anew: hundreds of page faults per
    step.  Nothing happens with another C library.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(MMAP_THRESHOLD, LARGEST)
        mallopt(TRIM_THRESHOLD, KEPT)
