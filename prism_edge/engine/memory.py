"""What a process and its models take in memory, now and at most."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from prism_edge.errors import TooLargeError
from prism_edge.families.model import Model

PROCESS = Path("/proc/self")


def memory_of(models: Iterable[Model], *, reset: bool) -> dict[str, Any]:
    """Bytes resident now, resident at most, and in weights; what was found before any reset.

    ``reset``: the peak counts from now on. ``counted`` says whether the kernel allows that; where
    it does not, the peak is that of the whole life of the process.
    """
    status = (PROCESS / "status").read_text()
    counted = True
    if reset:
        try:
            (PROCESS / "clear_refs").write_text("5")  # proc(5): resets VmHWM, nothing else
        except OSError:
            counted = False
    return {
        "resident_bytes": status_bytes(status, "VmRSS"),
        "peak_bytes": status_bytes(status, "VmHWM"),
        "weights_bytes": weights_bytes(models),
        "counted": counted,
    }


def status_bytes(status: str, key: str) -> int:
    """The size that /proc/PID/status gives under ``key``."""
    line = next(line for line in status.splitlines() if line.startswith(f"{key}:"))
    return int(line.split()[1]) * 1024


def weights_bytes(models: Iterable[Model]) -> int:
    """Bytes of all tensors that the models hold; tied and transposed ones count once."""
    found: dict[int, int] = {}
    todo: list[Any] = list(models)
    while todo:
        thing = todo.pop()
        if isinstance(thing, Tensor):
            start, size = thing.data_ptr(), thing.numel() * thing.element_size()
            found[start] = max(found.get(start, 0), size)
        elif isinstance(thing, Mapping):
            todo += thing.values()
        elif isinstance(thing, (list, tuple)):
            todo += thing
        elif isinstance(thing, Model):
            todo += vars(thing).values()
        elif dataclasses.is_dataclass(thing):
            todo += [getattr(thing, field.name) for field in dataclasses.fields(thing)]
    return sum(found.values())


def no_memory(error: Exception) -> TooLargeError | None:
    """``error`` in the user's words if it says that memory ran out, the board's or its GPU's."""
    said = str(error)
    words = ("allocate memory", "out of memory", "not enough memory")
    if not isinstance(error, MemoryError) and not any(one in said for one in words):
        return None
    return TooLargeError(
        f"there is no memory for that much at once ({said.splitlines()[0] if said else 'RAM'}); "
        f"send fewer rows, or set a smaller [serve] max_batch"
    )
