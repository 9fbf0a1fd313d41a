"""A pickle of bytes, numbers, lists, dicts and numpy arrays is read; no code in it ever runs.

What would build an array is replaced by values that only keep what they are given, so neither
numpy nor anything else is called by the file.
"""

from __future__ import annotations

import io
import pickle
from typing import Any

import numpy as np

from prism_edge.errors import InputError

KINDS = {"u1": np.uint8, "i8": np.int64, "i4": np.int32}


class _Dtype:
    def __init__(self, name: Any, *_: object) -> None:
        self.name = name.decode("ascii") if isinstance(name, bytes) else str(name)

    def __setstate__(self, state: object) -> None:
        """Byte order and the like: one byte has none, and x86 and ARM write the rest alike."""


class _Array:
    def __init__(self, *_: object) -> None:
        self.array: np.ndarray[Any, Any] | None = None

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, by_column, data = state
        if not isinstance(dtype, _Dtype) or dtype.name not in KINDS or not isinstance(data, bytes):
            raise pickle.UnpicklingError("an array of another type than " + ", ".join(KINDS))
        flat = np.frombuffer(data, KINDS[dtype.name])
        self.array = flat.reshape(shape, order="F" if by_column else "C")


def _bytes(text: str, _: object = None) -> bytes:
    """How protocol 2 of Python 3 writes bytes."""
    return text.encode("latin-1")


_KNOWN = {
    "ndarray": _Array,
    "dtype": _Dtype,
    "_reconstruct": _Array,
    "encode": _bytes,
}
_MODULES = {
    "numpy": ("ndarray", "dtype"),
    "numpy.core.multiarray": ("_reconstruct",),
    "numpy._core.multiarray": ("_reconstruct",),
    "_codecs": ("encode",),
}


class _Inert(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if name not in _MODULES.get(module, ()):
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return _KNOWN[name]


def read_pickle(data: bytes, where: str) -> dict[str, Any]:
    """A pickled dict, its keys as texts. Raises ``InputError`` for anything but plain data."""
    try:
        found = _Inert(io.BytesIO(data), encoding="bytes").load()
        if not isinstance(found, dict):
            raise pickle.UnpicklingError("it holds no dict")
        plain = {}
        for key, value in found.items():
            name = key.decode("utf-8") if isinstance(key, bytes) else str(key)
            plain[name] = value.array if isinstance(value, _Array) else value
        return plain
    except Exception as error:  # a damaged pickle raises almost anything
        raise InputError(f"{where}: not a pickle of plain arrays ({error})") from error
