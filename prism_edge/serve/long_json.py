"""Long lists of numbers in JSON are read and written a piece at a time, so that others get their
turn in between.

``json`` reads a document in one go and lets no other thread run meanwhile: an image as text takes
0.1 s and the largest body seconds, in which a daemon would answer nobody.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from collections.abc import Generator, Mapping, Sequence
from math import prod
from reprlib import repr as shown
from typing import TypeVar

import numpy as np

from prism_edge.errors import InputError
from prism_edge.serve.datatypes import Array
from prism_edge.serve.tensor_json import from_json, to_json

LONG_BYTES = 1 << 16  # a list as long as this is one of those
PIECE_BYTES = 1 << 15
PIECE_VALUES = 1 << 11
QUOTES = 1024  # that are passed over in one go
DATA = b'"data"'
NO_BRACKETS = bytes.maketrans(b"[]", b"  ")
VALUE = re.compile(rb"\s*((?:\[\s*)*)[^\[\]\s]+\s*((?:\]\s*)*)")
Found = TypeVar("Found")
Text = bytes | bytearray
Lists = Mapping[str, slice]


def at_once(work: Generator[None, None, Found]) -> Found:
    """What ``work`` finds, without a pause."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            found: Found = end.value
            return found


async def in_turns(work: Generator[None, None, Found]) -> Found:
    """The same; whenever it pauses, other tasks have their turn."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            found: Found = end.value
            return found
        await asyncio.sleep(0)


def shortened(text: Text) -> Generator[None, None, tuple[bytes, Lists]]:
    """The text with a string in place of each long list that may be a tensor's data, and where
    those lists are in ``text`` by that string, which no client can know."""
    parts, lists, done, start, quotes = [], {}, 0, 0, 0
    while start < len(text):
        quote = text.find(b'"', start)
        stop = len(text) if quote < 0 else quote  # from start to here is no string
        if stop - start >= LONG_BYTES and text.endswith(DATA, 0, start):
            first, brace = text.find(b"[", start, stop), text.find(b"}", start, stop)
            last = text.rfind(b"]", start, stop if brace < 0 else brace) + 1
            if _lists_only(text, first, last) and text[start:first].strip() == b":":
                name = secrets.token_hex(16)
                parts += [text[done:first], b'"%s"' % name.encode()]
                lists[name], done = slice(first, last), last
        start, inside = stop + 1, True
        while inside:
            start = text.find(b'"', start) + 1 or len(text)
            inside = start < len(text) and _escaped(text, start - 1)
            quotes += 1
            if quotes % QUOTES == 0:
                yield
    return b"".join([*parts, text[done:]]), lists


def numbers(
    tensor: str, datatype: str, shape: Sequence[int], text: Text, where: slice
) -> Generator[None, None, Array]:
    """The array that ``from_json`` would make of the list there in ``text``."""
    pieces: list[Array] = []
    edges: list[tuple[int, int, int]] = []  # a value's index, lists that begin and end with it
    start, count = where.start, 0
    while start < where.stop:
        comma = text.find(b",", start + PIECE_BYTES, where.stop)
        stop = where.stop if comma < 0 else comma
        piece = bytes(text[start:stop])
        for index, value in enumerate(piece.split(b","), count):
            if b"[" in value or b"]" in value:
                edge = VALUE.fullmatch(value)
                if edge is None:
                    raise _strange(tensor, shape)
                edges.append((index, edge[1].count(b"["), edge[2].count(b"]")))
        try:
            values = json.loads(f"[{piece.translate(NO_BRACKETS).decode()}]")
        except ValueError as error:
            raise InputError(f"input {shown(tensor)}: data is not JSON ({error})") from error
        pieces.append(from_json(tensor, datatype, [len(values)], values))
        count += len(values)
        start = stop + 1
        yield
    nest = tuple(shape) if edges[0][1] > 1 else (count,)
    if count != prod(shape):
        raise InputError(
            f"input {shown(tensor)}: shape {shown(list(shape))} is {shown(prod(shape))} values, "
            f"but data holds {count}"
        )
    if not _nested(np.array(edges), nest):
        raise _strange(tensor, shape)
    return np.concatenate(pieces).reshape(tuple(shape))


def written(tensor: str, array: Array) -> Generator[None, None, str]:
    """The list that ``to_json`` makes of an array, as text."""
    flat, pieces = array.ravel(), []
    for start in range(0, flat.size, PIECE_VALUES):
        if start:
            yield
        values = to_json(tensor, flat[start : start + PIECE_VALUES])
        pieces.append(json.dumps(values, allow_nan=False, separators=(",", ":"))[1:-1])
    return f"[{','.join(pieces)}]"


def _nested(edges: Array, nest: Sequence[int]) -> bool:
    """Whether lists begin and end where those of this nest do."""
    index, begin, end = edges.T.astype(np.int64)
    sizes = [prod(nest[level:]) for level in range(len(nest))]
    lists = sum(sizes[0] // size for size in sizes)
    return (
        begin.sum() == end.sum() == lists
        and bool((begin == sum((index % size == 0).astype(int) for size in sizes)).all())
        and bool((end == sum(((index + 1) % size == 0).astype(int) for size in sizes)).all())
    )


def _lists_only(text: Text, first: int, last: int) -> bool:
    return (
        0 <= first < last
        and text.count(b"[", first, last) == text.count(b"]", first, last)
        and text.find(b"{", first, last) < 0
        and text.find(b":", first, last) < 0
    )


def _escaped(text: Text, quote: int) -> bool:
    """Whether an odd number of backslashes stands before it."""
    start = quote
    while text[start - 1] == ord("\\"):
        start -= 1
    return (quote - start) % 2 == 1


def _strange(tensor: str, shape: Sequence[int]) -> InputError:
    return InputError(
        f"input {shown(tensor)}: data is neither flat nor nested like its shape "
        f"{shown(list(shape))}"
    )
