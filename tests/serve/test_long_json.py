"""Long lists of numbers mean what they mean to ``json``, and are read in short pieces."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Generator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prism_edge.errors import InputError
from prism_edge.serve.long_json import (
    LONG_BYTES,
    PIECE_BYTES,
    PIECE_VALUES,
    at_once,
    in_turns,
    numbers,
    shortened,
    written,
)
from prism_edge.serve.oip import decode_request, decoding
from prism_edge.serve.tensor_json import from_json, to_json

PAD = " " * LONG_BYTES  # makes any list a long one


def request(data: str, shape: list[int], datatype: str = "FP32", **more: object) -> bytes:
    """A request whose ``data`` is this text."""
    said = {"name": "x", "shape": shape, "datatype": datatype, **more, "data": "HERE"}
    return json.dumps({"id": 'a"\\', "inputs": [said]}).replace('"HERE"', data).encode()


def read(data: str, shape: list[int], datatype: str = "FP32") -> Any:
    return decode_request(request(data, shape, datatype), None).inputs["x"]


@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=4),
    st.booleans(),
    st.sampled_from(["FP32", "FP64", "INT32", "UINT8", "BOOL"]),
    st.sampled_from([None, 1]),
)
@settings(deadline=None, max_examples=150)
def test_a_long_list_is_what_a_short_one_is(
    shape: list[int], flat: bool, datatype: str, indent: int | None
) -> None:
    source = np.random.default_rng(len(shape))
    values = source.integers(0, 2, shape) if datatype == "BOOL" else source.integers(0, 200, shape)
    array = values.astype({"FP32": "f4", "FP64": "f8", "BOOL": "?"}.get(datatype, "i8"))
    data = json.dumps(array.ravel().tolist() if flat else array.tolist(), indent=indent)
    short, long = read(data, shape, datatype), read(data[:-1] + PAD + "]", shape, datatype)
    assert (long.dtype, long.shape) == (short.dtype, short.shape)
    np.testing.assert_array_equal(long, short)


def test_others_have_their_turn_whenever_it_pauses() -> None:
    turns: list[str] = []

    def work() -> Generator[None, None, int]:
        for _ in range(3):
            turns.append("work")
            yield
        return 7

    async def other() -> None:
        for _ in range(3):
            turns.append("other")
            await asyncio.sleep(0)

    async def both() -> int:
        found, _ = await asyncio.gather(in_turns(work()), other())
        return found

    assert asyncio.run(both()) == 7
    assert turns == ["work", "other"] * 3


@pytest.mark.parametrize("nested", [False, True])
def test_an_image_is_read_in_short_pieces(nested: bool) -> None:
    image = np.random.default_rng(0).standard_normal((1, 3, 64, 64)).astype("f4")
    body = request(json.dumps((image if nested else image.ravel()).tolist()), list(image.shape))
    assert len(body) > 5 * PIECE_BYTES
    pauses, work = 0, decoding(body, None)
    while True:
        try:
            next(work)
        except StopIteration as end:
            np.testing.assert_array_equal(end.value.inputs["x"], image)
            break
        pauses += 1
    assert pauses >= len(body) / (PIECE_BYTES + 100)
    short, lists = at_once(shortened(body))
    assert len(short) < 200
    (where,) = lists.values()
    assert json.loads(body[where]) == (image if nested else image.ravel()).tolist()


@pytest.mark.parametrize(
    ("data", "shape"),
    [
        ("[1, 2", [2]),
        ("[1, 2]]", [2]),
        ("[1,, 2]", [2]),
        ("[1, 2,]", [2]),
        ("[,1, 2]", [2]),
        ("[1 2]", [2]),
        ("[1, 2][3]", [3]),
        ("[1, 2, 3]", [2]),
        ("[[1, 2], [3]]", [3]),
        ("[[1, 2], [3]]", [2, 2]),
        ("[[1, 2], [3], 4]", [2, 2]),
        ("[[1, [2]], [3, 4]]", [2, 2]),
        ("[[1, 2, 3, 4]]", [2, 2]),
        ("[[1, 2], [3, 4]]", [4]),
        ("[[1, 2] [3, 4]]", [2, 2]),
        ("[[1, 2], 3], [4]]", [2, 2]),
        ("[1, [2, 3], 4]", [2, 2]),
        ("[1, null]", [2]),
        ("[1, {}]", [2]),
        ("[1, 1e400x]", [2]),
        ("[1, 3.5e38]", [2]),
        ("[1, tru]", [2]),
        ("[1, []]", [1]),
        ("[]", [1]),
        ('["1", 2]', [2]),
    ],
)
def test_what_is_refused_of_a_short_list_is_refused_of_a_long_one(
    data: str, shape: list[int]
) -> None:
    for text in (data, PAD.join(data.rpartition("]")[:2]), "[" + PAD + data[1:]):
        with pytest.raises(InputError):
            read(text, shape)


@pytest.mark.parametrize("data", ['["NaN", 1]', "[NaN, 1]", '[["NaN"], [1]]', "[[1], [NaN]]"])
def test_not_a_number_is_read_in_long_lists_too(data: str) -> None:
    shape = [2] if data[1] != "[" else [2, 1]
    found = read(PAD.join([data[:-1], "]"]), shape)
    assert np.isnan(found).sum() == 1


@pytest.mark.parametrize(
    "key", ["parameters", "other", 'a"data', "data"], ids=["parameters", "unknown", "quote", "text"]
)
def test_numbers_in_a_string_or_under_another_key_are_left_alone(key: str) -> None:
    listed = "[" + "1, " * LONG_BYTES + "1]"
    text = json.dumps({key: listed, "id": '\\"', "inputs": []}).encode()
    assert at_once(shortened(text)) == (text, {})


def test_a_text_of_many_strings_is_passed_over_in_pieces() -> None:
    for text in (b'["' + b'", "' * 5000 + b'"]', b'"' + b'\\"' * 5000):
        work = shortened(text)
        assert sum(1 for _ in work) > 3
        assert at_once(shortened(text)) == (text, {})


@given(st.binary(max_size=60), st.integers(0, 60))
def test_any_bytes_are_either_left_alone_or_cut_where_a_list_is(noise: bytes, at: int) -> None:
    text = noise[:at] + b'"data": [' + PAD.encode() + b"1]" + noise[at:]
    short, lists = at_once(shortened(text))
    for name, where in lists.items():
        short = short.replace(f'"{name}"'.encode(), text[where])
    assert short == text


@pytest.mark.parametrize("count", [0, 1, PIECE_VALUES, PIECE_VALUES + 1, 5 * PIECE_VALUES])
def test_a_long_answer_is_written_in_short_pieces(count: int) -> None:
    values = np.arange(count).astype("f4") / 3
    values[:1] = np.nan
    assert sum(1 for _ in written("y", values)) == max(0, (count - 1) // PIECE_VALUES)
    assert json.loads(at_once(written("y", values))) == to_json("y", values)


def test_numbers_at_any_cut_are_those_of_json() -> None:
    values = [[k, k + 0.5] for k in range(2 * PIECE_BYTES // 10)]
    for gap in range(12):
        text = b"[" + b" " * gap + json.dumps(values)[1:].encode()
        array = at_once(numbers("x", "FP64", [len(values), 2], text, slice(0, len(text))))
        np.testing.assert_array_equal(array, from_json("x", "FP64", array.shape, values))
