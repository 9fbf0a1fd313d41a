"""The Open Inference Protocol's datatypes, as numpy holds them.

Arrays made from requests are native, aligned, writable and own their memory. BYTES is an array of
objects, each ``bytes``. BF16 is missing because numpy cannot hold it.
"""

from collections.abc import Iterable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.generic]

DATATYPES: dict[str, np.dtype[np.generic]] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype(np.uint8),
    "UINT16": np.dtype(np.uint16),
    "UINT32": np.dtype(np.uint32),
    "UINT64": np.dtype(np.uint64),
    "INT8": np.dtype(np.int8),
    "INT16": np.dtype(np.int16),
    "INT32": np.dtype(np.int32),
    "INT64": np.dtype(np.int64),
    "FP16": np.dtype(np.float16),
    "FP32": np.dtype(np.float32),
    "FP64": np.dtype(np.float64),
    "BYTES": np.dtype(np.object_),
}


def datatype_of(array: Array) -> str:
    """The protocol's name for an array's elements; TypeError for what it cannot carry."""
    if array.dtype.kind in "OSU":
        return "BYTES"
    for name, dtype in DATATYPES.items():
        if array.dtype.newbyteorder("=") == dtype:
            return name
    raise TypeError(f"the Open Inference Protocol cannot carry {array.dtype}")


def bytes_array(items: Iterable[bytes]) -> Array:
    """The flat BYTES array of these elements."""
    elements = list(items)
    array = np.empty(len(elements), np.object_)
    array[:] = elements
    return array


def bytes_items(array: Array) -> list[bytes]:
    """The elements of an array of bytes or text, row-major, as bytes."""
    return [
        item if isinstance(item, bytes) else str(item).encode() for item in array.ravel().tolist()
    ]
