"""Messages between an engine and its driver: a JSON header and raw arrays, over a pair of pipes.

Layout: length of the header as ``<I``, the header, then every array's bytes in the header's order.
Nothing is unpickled.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

LENGTH = struct.Struct("<I")
MAX_HEADER_BYTES = 64 << 20
Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Message:
    """``kind`` says what it is about; ``fields`` are JSON values, ``arrays`` tensors by name."""

    kind: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, Array] = field(default_factory=dict)


def write_message(stream: BinaryIO, message: Message) -> None:
    """The message is on its way through ``stream``. Raises ``OSError`` when nobody reads it."""
    arrays = {name: np.ascontiguousarray(array) for name, array in message.arrays.items()}
    listed = [[name, array.dtype.str, list(array.shape)] for name, array in arrays.items()]
    header = json.dumps([message.kind, message.fields, listed]).encode()
    stream.write(LENGTH.pack(len(header)) + header)
    for array in arrays.values():
        stream.write(array.data if array.size else b"")
    stream.flush()


def read_message(stream: BinaryIO) -> Message | None:
    """The next message, or None at the end of the stream. Raises ``EOFError`` inside a message."""
    prefix = stream.read(LENGTH.size)
    if not prefix:
        return None
    size = LENGTH.unpack(prefix.ljust(LENGTH.size, b"\xff"))[0]
    if size > MAX_HEADER_BYTES:
        raise EOFError(f"not an engine's message: it begins with {prefix!r}")
    kind, fields, listed = json.loads(bytes(_exactly(stream, size)))
    arrays = {}
    for name, dtype, shape in listed:
        data = _exactly(stream, math.prod(shape) * np.dtype(dtype).itemsize)
        arrays[name] = np.frombuffer(data, dtype=dtype).reshape(shape)
    return Message(kind, fields, arrays)


def _exactly(stream: BinaryIO, size: int) -> memoryview:
    view = np.empty(size, np.uint8).data  # a bytearray would be filled with zeros first
    start = 0
    while start < size:
        count = stream.readinto(view[start:])  # type: ignore[attr-defined]
        if not count:
            raise EOFError(f"the stream ended after {start} of {size} bytes")
        start += count
    return view
