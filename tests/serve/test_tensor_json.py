"""What a tensor's JSON means, and what is refused."""

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from prism_edge.errors import InputError
from prism_edge.serve.datatypes import DATATYPES, Array, bytes_array, datatype_of
from prism_edge.serve.tensor_json import from_json, to_json

NUMERIC = [name for name in DATATYPES if name != "BYTES"]
SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)


@st.composite
def numeric(draw: st.DrawFn) -> Array:
    dtype = DATATYPES[draw(st.sampled_from(NUMERIC))]
    array: Array = draw(hnp.arrays(dtype, draw(SHAPES)))
    return array


@given(numeric())
def test_what_is_written_is_read_back_exactly(array: Array) -> None:
    text = json.dumps(to_json("x", array), allow_nan=False)
    back = from_json("x", datatype_of(array), array.shape, json.loads(text))
    assert back.dtype == array.dtype
    assert back.shape == array.shape
    np.testing.assert_array_equal(back, array)


@given(numeric().filter(lambda array: array.ndim > 0))
def test_nested_lists_are_flat_lists(array: Array) -> None:
    nested = json.loads(json.dumps(array.tolist()))  # NaN and Infinity as Python clients send them
    flat = json.loads(json.dumps(array.ravel().tolist()))
    datatype = datatype_of(array)
    from_nested = from_json("x", datatype, array.shape, nested)
    from_flat = from_json("x", datatype, array.shape, flat)
    np.testing.assert_array_equal(from_nested, array)
    np.testing.assert_array_equal(from_flat, array)


@given(st.lists(st.text()))
def test_strings_are_utf8(texts: list[str]) -> None:
    array = from_json("x", "BYTES", [len(texts)], list(texts))
    assert array.tolist() == [text.encode() for text in texts]
    assert to_json("x", array) == texts


def test_negative_zero_keeps_its_sign() -> None:
    (value,) = from_json("x", "FP32", [1], json.loads(json.dumps(to_json("x", np.array([-0.0])))))
    assert math.copysign(1.0, float(value)) == -1.0


def test_not_finite_values_are_strings_that_numpy_reads() -> None:
    array = np.array([np.nan, np.inf, -np.inf, 1.5], np.float32)
    written = to_json("x", array)
    assert written == ["NaN", "Infinity", "-Infinity", 1.5]
    np.testing.assert_array_equal(np.array(written, np.float32), array)


@pytest.mark.parametrize(
    ("datatype", "shape", "data", "message"),
    [
        ("INT32", [2], [1], r"'x': shape \[2\] is 2 values, but data holds 1"),
        ("INT32", [1], [1, 2], "data holds 2"),
        ("INT32", [2, 2], [[1, 2], [3]], "neither flat nor nested"),
        ("INT32", [2, 2], [[1, 2], 3], "neither flat nor nested"),
        ("INT32", [2, 2], [1, [2, 3]], "neither flat nor nested"),
        ("INT32", [2, 3], [[1, 2], [3, 4], [5, 6]], r"data holds 6, nested \[3, 2\]"),
        ("INT32", [4], [[1, 2], [3, 4]], "neither flat nor nested"),
        ("INT32", [1, 1, 4], [[1, 2, 3, 4]], "nested"),
        ("INT32", [2, 0], [[], [], []], "nested"),
        ("INT32", [], [], "shape .. is 1 values"),
        ("INT32", [1], [1.0], "INT32 takes integers, not float"),
        ("INT32", [1], [True], "INT32 takes integers, not bool"),
        ("INT32", [1], ["1"], "INT32 takes integers, not str"),
        ("INT32", [1], [None], "not NoneType"),
        ("INT32", [1], [{}], "not dict"),
        ("INT32", [1], [2**31], "does not fit INT32"),
        ("INT8", [1], [-129], "does not fit INT8"),
        ("UINT8", [2], [0, 256], "does not fit UINT8"),
        ("UINT64", [1], [-1], "does not fit UINT64"),
        ("UINT64", [1], [2**64], "does not fit UINT64"),
        ("INT64", [1], [10**4000], "does not fit INT64"),
        ("BOOL", [1], [1], "BOOL takes true and false, not int"),
        ("FP32", [1], [True], "FP32 takes numbers, not bool"),
        ("FP32", [1], ["1.5"], "not '1.5'"),
        ("FP32", [1], ["nan"], "not 'nan'"),
        ("FP16", [1], [65520.0], "does not fit FP16"),
        ("FP32", [1], [1e39], "does not fit FP32"),
        ("FP64", [1], [10**400], "does not fit FP64"),
        ("BYTES", [1], [1], "BYTES takes strings, not int"),
        ("BYTES", [1], ["\ud800"], "not valid Unicode"),
    ],
)
def test_refusals_name_the_tensor(
    datatype: str, shape: list[int], data: list[Any], message: str
) -> None:
    with pytest.raises(InputError, match=message) as refusal:
        from_json("x", datatype, shape, data)
    assert "input 'x'" in str(refusal.value)


@pytest.mark.parametrize(
    ("datatype", "data"),
    [
        ("UINT64", [2**64 - 1]),
        ("INT64", [-(2**63)]),
        ("UINT8", [0, 255]),
        ("FP16", [65504.0, 65519.0]),
        ("FP32", [1]),
    ],
)
def test_the_limits_themselves_fit(datatype: str, data: list[Any]) -> None:
    array = from_json("x", datatype, [len(data)], data)
    assert array.dtype == DATATYPES[datatype]
    assert np.isfinite(array.astype(np.float64)).all()


def test_nested_empty_tensors_may_hide_what_is_behind_their_zero() -> None:
    assert from_json("x", "FP32", [2, 0, 3], [[], []]).shape == (2, 0, 3)
    assert from_json("x", "FP32", [0, 3], []).shape == (0, 3)


def test_bytes_that_are_no_text_are_asked_for_in_binary() -> None:
    with pytest.raises(InputError, match=r"output 'y'.*binary_data"):
        to_json("y", bytes_array([b"\xff"]))


def test_a_dtype_the_protocol_lacks_is_our_bug() -> None:
    with pytest.raises(TypeError, match="complex64"):
        to_json("y", np.zeros(1, np.complex64))
