"""Message buffers that are allocated once and used again and again."""

from __future__ import annotations

import threading
from collections.abc import Callable

from torch import Tensor

SMALLEST = 4096


class Buffers:
    """Host memory from ``empty``, for messages: requests that repeat allocate it only once.

    Sizes are rounded up to powers of two, so that texts of many lengths share few buffers.
    """

    def __init__(self, empty: Callable[[int], Tensor]) -> None:
        self._empty = empty
        self._free: dict[int, list[Tensor]] = {}
        self._lent: dict[int, Tensor] = {}  # by address
        self._lock = threading.Lock()

    def take(self, size: int) -> Tensor:
        """A buffer that nobody else uses, with any content.  -> uint8 [size]"""
        room = max(SMALLEST, 1 << (size - 1).bit_length())
        with self._lock:
            free = self._free.get(room)
            whole = free.pop() if free else self._empty(room)
            self._lent[whole.data_ptr()] = whole
        return whole[:size]

    def give(self, buffer: Tensor) -> None:
        """``buffer`` may be taken again."""
        with self._lock:
            whole = self._lent.pop(buffer.data_ptr())
            self._free.setdefault(whole.numel(), []).append(whole)
