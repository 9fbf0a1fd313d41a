"""What a tensor's bytes mean, and what is refused."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from prism_edge.errors import InputError
from prism_edge.serve.datatypes import DATATYPES, Array, bytes_array, datatype_of
from prism_edge.serve.tensor_binary import from_binary, to_binary

NUMERIC = [name for name in DATATYPES if name != "BYTES"]
SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)


@st.composite
def numeric(draw: st.DrawFn) -> Array:
    dtype = DATATYPES[draw(st.sampled_from(NUMERIC))]
    array: Array = draw(hnp.arrays(dtype, draw(SHAPES)))
    return array


@given(numeric(), st.integers(0, 7))
def test_bytes_are_read_back_bit_for_bit_at_any_offset(array: Array, offset: int) -> None:
    data = to_binary(array)
    assert data == array.astype(array.dtype.newbyteorder("<")).tobytes()
    body = memoryview(b"." * offset + data)[offset:]
    back = from_binary("x", datatype_of(array), array.shape, body)
    assert back.dtype == array.dtype
    assert back.shape == array.shape
    assert back.tobytes() == array.tobytes()
    assert back.flags.aligned
    assert back.flags.writeable
    assert back.dtype.isnative


@given(numeric().filter(lambda array: array.size > 0), st.sampled_from([-1, 1]))
def test_one_byte_more_or_less_is_refused(array: Array, change: int) -> None:
    data = (to_binary(array) + b"\0")[: to_binary(array).__len__() + change]
    with pytest.raises(InputError, match=f"input 'x'.*is {array.nbytes} bytes.*is {len(data)}"):
        from_binary("x", datatype_of(array), array.shape, memoryview(data))


@given(st.lists(st.binary(max_size=20), max_size=8))
def test_elements_of_bytes_keep_their_lengths(items: list[bytes]) -> None:
    data = b"".join(struct.pack("<I", len(item)) + item for item in items)
    assert to_binary(bytes_array(items)) == data
    assert from_binary("x", "BYTES", [len(items)], memoryview(data)).tolist() == items


@pytest.mark.parametrize("array", [np.array(["é", "b"]), np.array([b"\xc3\xa9", b"b"])])
def test_numpy_text_is_bytes_too(array: Array) -> None:
    assert to_binary(array) == b"\2\0\0\0\xc3\xa9\1\0\0\0b"


@pytest.mark.parametrize(
    ("shape", "data", "message"),
    [
        ([1], b"\1\0\0", "past the end"),
        ([1], b"\2\0\0\0a", "past the end"),
        ([1], b"\xff\xff\xff\xffa", "past the end"),
        ([2], b"\1\0\0\0a", r"shape \[2\] is 2 elements, but its bytes hold 1"),
        ([0], b"\0\0\0\0", "hold 1"),
    ],
)
def test_broken_elements_are_refused(shape: list[int], data: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        from_binary("x", "BYTES", shape, memoryview(data))


def test_booleans_are_zero_and_one() -> None:
    assert from_binary("x", "BOOL", [2], memoryview(b"\0\1")).tolist() == [False, True]
    with pytest.raises(InputError, match="0 and 1, not 2"):
        from_binary("x", "BOOL", [2], memoryview(b"\0\2"))


def test_foreign_order_and_strides_are_written_little_endian_by_rows() -> None:
    array = np.arange(6, dtype=">i2").reshape(2, 3).T
    assert to_binary(array) == np.array([0, 3, 1, 4, 2, 5], "<i2").tobytes()
