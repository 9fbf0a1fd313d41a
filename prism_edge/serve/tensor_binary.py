"""One tensor's values as little-endian, row-major bytes: the binary tensor extension.

BYTES elements follow each other, each behind its length in four little-endian bytes. Everything
malformed is an InputError that names the tensor.
"""

import math
import struct
from collections.abc import Iterator, Sequence
from reprlib import repr as shown

import numpy as np

from prism_edge.errors import InputError
from prism_edge.serve.datatypes import DATATYPES, Array, bytes_array, bytes_items, datatype_of

LENGTH = struct.Struct("<I")


def from_binary(tensor: str, datatype: str, shape: Sequence[int], data: memoryview) -> Array:
    """The array of this shape whose bytes are exactly ``data``."""
    count = math.prod(shape)
    if datatype == "BYTES":
        flat = bytes_array(_elements(tensor, data))
        if flat.size != count:
            raise InputError(
                f"input {shown(tensor)}: shape {shown(list(shape))} is {shown(count)} elements, "
                f"but its bytes hold {flat.size}"
            )
        return flat.reshape(tuple(shape))
    dtype = DATATYPES[datatype]
    if len(data) != count * dtype.itemsize:
        raise InputError(
            f"input {shown(tensor)}: shape {shown(list(shape))} of {datatype} is "
            f"{shown(count * dtype.itemsize)} bytes, but binary_data_size is {len(data)}"
        )
    raw = np.frombuffer(data, np.uint8)
    if datatype == "BOOL" and raw.size and raw.max() > 1:
        raise InputError(f"input {shown(tensor)}: BOOL is bytes of 0 and 1, not {raw.max()}")
    array: Array = raw.view(dtype.newbyteorder("<")).astype(dtype)
    return array.reshape(tuple(shape))


def to_binary(array: Array) -> bytes:
    """The bytes of an array."""
    datatype = datatype_of(array)
    if datatype == "BYTES":
        return b"".join(LENGTH.pack(len(item)) + item for item in bytes_items(array))
    return array.astype(DATATYPES[datatype].newbyteorder("<"), copy=False).tobytes()


def _elements(tensor: str, data: memoryview) -> Iterator[bytes]:
    stop = 0
    while stop < len(data):
        start = stop + LENGTH.size
        stop = start + LENGTH.unpack(data[stop:start])[0] if start <= len(data) else start
        if stop > len(data):
            raise InputError(
                f"input {shown(tensor)}: a BYTES element runs past the end of its data"
            )
        yield bytes(data[start:stop])
