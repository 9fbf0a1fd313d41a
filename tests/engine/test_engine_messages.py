"""Messages survive the pipe, and whatever is no message is told apart from one."""

from __future__ import annotations

import io
import json
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from prism_edge.engine.messages import MAX_HEADER_BYTES, Message, read_message, write_message

NUMBERS = st.sampled_from([np.uint8, np.int64, np.float32, np.float16, np.bool_])


def sent(*messages: Message) -> io.BytesIO:
    stream = io.BytesIO()
    for message in messages:
        write_message(stream, message)
    stream.seek(0)
    return stream


@given(
    st.text(min_size=1),
    st.dictionaries(st.text(), st.integers() | st.text() | st.none() | st.lists(st.integers())),
    st.dictionaries(
        st.text(), NUMBERS.flatmap(lambda d: arrays.arrays(d, arrays.array_shapes(min_side=0)))
    ),
)
def test_a_message_is_read_as_it_was_written(
    kind: str, fields: dict[str, object], held: dict[str, np.ndarray]
) -> None:
    found = read_message(sent(Message(kind, fields, held)))
    assert found is not None
    assert (found.kind, found.fields) == (kind, fields)
    assert list(found.arrays) == list(held)
    for name, array in held.items():
        assert found.arrays[name].dtype == array.dtype
        assert found.arrays[name].shape == array.shape
        assert found.arrays[name].tobytes() == array.tobytes()


def test_messages_follow_each_other_until_the_stream_ends() -> None:
    stream = sent(Message("a", {"x": 1}), Message("b", {}, {"y": np.arange(3)}), Message("c"))
    kinds = []
    while (message := read_message(stream)) is not None:
        kinds.append(message.kind)
    assert kinds == ["a", "b", "c"]


def test_a_view_with_gaps_travels_as_its_values() -> None:
    array = np.arange(12, dtype=np.int32).reshape(3, 4)[:, ::2]
    found = read_message(sent(Message("a", {}, {"x": array})))
    assert found is not None
    assert found.arrays["x"].tolist() == [[0, 2], [4, 6], [8, 10]]


def test_received_arrays_can_be_written_to() -> None:
    found = read_message(sent(Message("a", {}, {"x": np.zeros(2)})))
    assert found is not None
    found.arrays["x"][0] = 1.0  # torch warns of arrays that cannot
    assert found.arrays["x"].flags.writeable


@pytest.mark.parametrize("missing", [1, 3, 8, 30])
def test_a_message_cut_short_is_no_message(missing: int) -> None:
    whole = sent(Message("result", {"id": 3}, {"x": np.arange(4)})).getvalue()
    with pytest.raises(EOFError):
        read_message(io.BytesIO(whole[:-missing]))


@pytest.mark.parametrize("junk", [b"Traceback (most recent call last)\n", b"x", b"\xff" * 40])
def test_what_a_library_prints_is_no_message(junk: bytes) -> None:
    with pytest.raises(EOFError):
        read_message(io.BytesIO(junk))


def test_a_header_over_the_limit_is_refused_before_memory_is_taken() -> None:
    with pytest.raises(EOFError, match="not an engine's message"):
        read_message(io.BytesIO(struct.pack("<I", MAX_HEADER_BYTES + 1) + b"{}"))


def test_nothing_is_unpickled() -> None:
    header = json.dumps(["result", {}, [["x", "|O", [1]]]]).encode()
    stream = io.BytesIO(struct.pack("<I", len(header)) + header + b"\0" * 8)
    with pytest.raises(ValueError, match="OBJECT"):
        read_message(stream)
