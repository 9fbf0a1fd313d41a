"""The C library's heap of this process: one for all threads, and no more of it than is used.

By default every thread has a heap of its own, so that what loading models left free on one is of no
use to the thread that computes on another. Elsewhere than on glibc nothing happens.
"""

from __future__ import annotations

import ctypes

M_ARENA_MAX = -8  # of malloc.h


def share_heap() -> None:
    """Threads started from now on allocate from the same heap."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_ARENA_MAX, 1)


def trim_heap() -> None:
    """Free pages inside the heap are the system's again."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(ctypes.c_size_t(0))
