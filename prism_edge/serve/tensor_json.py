"""One tensor's values as a JSON list: flat, or nested exactly like its shape.

No value is rounded to an integer, wrapped or parsed. JSON has no infinity and no NaN: they travel
as the strings of protobuf's JSON ("NaN", "Infinity", "-Infinity"), which numpy reads back as
numbers. Everything malformed is an InputError that names the tensor.
"""

import math
from collections.abc import Sequence
from itertools import chain
from reprlib import repr as shown

import numpy as np

from prism_edge.errors import InputError
from prism_edge.serve.datatypes import DATATYPES, Array, bytes_array, bytes_items, datatype_of

# By numpy's letter for a kind: the JSON types that an element may have, and their words.
VALUES: dict[str, tuple[set[type], str]] = {
    "O": ({str}, "strings"),
    "b": ({bool}, "true and false"),
    "u": ({int}, "integers"),
    "i": ({int}, "integers"),
    "f": ({int, float, str}, "numbers"),
}
NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def from_json(tensor: str, datatype: str, shape: Sequence[int], data: list[object]) -> Array:
    """The array of this shape whose values are ``data``."""
    flat = _flatten(tensor, shape, data)
    kind = DATATYPES[datatype].kind
    allowed, words = VALUES[kind]
    types = set(map(type, flat))
    strange = sorted(found.__name__ for found in types - allowed)
    if strange:
        raise InputError(
            f"input {shown(tensor)}: {datatype} takes {words}, not {', '.join(strange)}"
        )
    if kind == "O":
        array = _strings(tensor, flat)
    elif kind == "f":
        array = _floats(
            tensor, datatype, _numbers(tensor, datatype, flat) if str in types else flat
        )
    elif kind == "b":
        array = np.array(flat, np.bool_)
    else:
        array = _integers(tensor, datatype, flat)
    return array.reshape(tuple(shape))


def to_json(tensor: str, array: Array) -> list[object]:
    """The values of an array, flat and row-major, as strict JSON can carry them."""
    if datatype_of(array) == "BYTES":
        try:
            return [item.decode() for item in bytes_items(array)]
        except UnicodeDecodeError as error:
            raise InputError(
                f"output {shown(tensor)}: is not UTF-8; ask for it with binary_data true"
            ) from error
    flat = array.ravel()
    values: list[object] = flat.tolist()
    if flat.dtype.kind == "f":
        for index in np.flatnonzero(~np.isfinite(flat)).tolist():
            number = float(str(values[index]))
            values[index] = (
                "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"
            )
    return values


def _flatten(tensor: str, shape: Sequence[int], data: list[object]) -> list[object]:
    nest, level = [len(data)], data
    while list in set(map(type, level)):
        rows = [item for item in level if isinstance(item, list)]
        widths = set(map(len, rows))
        if len(rows) != len(level) or len(widths) != 1 or len(nest) >= len(shape):
            raise InputError(
                f"input {shown(tensor)}: data is neither flat "
                f"nor nested like its shape {shown(list(shape))}"
            )
        nest.append(widths.pop())
        level = list(chain.from_iterable(rows))
    # An empty list hides the sizes behind its zero: shape [2, 0, 3] nested is [[], []].
    nested = nest == list(shape[: len(nest)]) and (len(nest) == len(shape) or not level)
    if not (nested or len(nest) == 1) or len(level) != math.prod(shape):
        raise InputError(
            f"input {shown(tensor)}: shape {shown(list(shape))} is {shown(math.prod(shape))} "
            f"values, but data holds {len(level)}, nested {shown(nest)}"
        )
    return level


def _strings(tensor: str, flat: list[object]) -> Array:
    try:
        return bytes_array(str(text).encode() for text in flat)
    except UnicodeEncodeError as error:
        raise InputError(f"input {shown(tensor)}: a string is not valid Unicode") from error


def _integers(tensor: str, datatype: str, flat: list[object]) -> Array:
    # Compared before numpy sees them: older ones wrap what does not fit.
    limits = np.iinfo(DATATYPES[datatype].name)
    numbers = [value for value in flat if isinstance(value, int)]
    if numbers and not int(limits.min) <= min(numbers) <= max(numbers) <= int(limits.max):
        raise InputError(f"input {shown(tensor)}: a value does not fit {datatype}")
    return np.array(numbers, DATATYPES[datatype])


def _numbers(tensor: str, datatype: str, flat: list[object]) -> list[object]:
    """The values with numbers for the words that stand for some."""
    strange = {value for value in flat if isinstance(value, str)} - set(NOT_FINITE)
    if strange:
        raise InputError(
            f"input {shown(tensor)}: {datatype} takes numbers and {', '.join(NOT_FINITE)}, "
            f"not {shown(min(strange))}"
        )
    return [NOT_FINITE[value] if isinstance(value, str) else value for value in flat]


def _floats(tensor: str, datatype: str, flat: list[object]) -> Array:
    try:
        wide = np.array(flat, np.float64)
    except OverflowError as error:
        raise InputError(f"input {shown(tensor)}: a value does not fit {datatype}") from error
    with np.errstate(over="ignore"):
        narrow = wide.astype(DATATYPES[datatype])
    if (np.isinf(narrow) & np.isfinite(wide)).any():
        raise InputError(f"input {shown(tensor)}: a value does not fit {datatype}")
    return narrow
