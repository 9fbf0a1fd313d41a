"""A packed body is unpacked up to the limit, and not one byte further."""

import gzip
import tracemalloc
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.exceptions import HTTPException

from prism_edge.errors import InputError, UnavailableError
from prism_edge.serve.body import Held, Room, unpack


@given(st.binary(max_size=200), st.sampled_from([gzip.compress, zlib.compress]))
def test_what_was_packed_comes_out(body: bytes, pack: Callable[[bytes], bytes]) -> None:
    packed = pack(body)
    assert unpack(packed, len(body)) == body
    if body:
        with pytest.raises(HTTPException, match="larger than this server takes"):
            unpack(packed, len(body) - 1)


@given(st.binary(max_size=100), st.sampled_from([gzip.compress, zlib.compress]), st.data())
def test_any_damage_is_an_input_error(
    body: bytes, pack: Callable[[bytes], bytes], data: st.DataObject
) -> None:
    packed = pack(body)
    kept = data.draw(st.integers(0, len(packed) - 1))
    with pytest.raises(InputError):
        unpack(packed[:kept], 1000)
    with pytest.raises(InputError):
        unpack(packed + b"\0", 1000)


def peak_bytes(packed: bytes, max_bytes: int) -> int:
    """The most memory that unpacking took."""
    tracemalloc.start()
    try:
        unpack(packed, max_bytes)
    except HTTPException:
        pass
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return peak


def test_a_bomb_is_not_unpacked() -> None:
    bomb = gzip.compress(bytes(1 << 24))
    assert peak_bytes(bomb, 1 << 16) < 1 << 20
    assert peak_bytes(bomb, 1 << 24) >= 1 << 24  # the control: the measure sees what is made


def test_bodies_under_way_share_one_room() -> None:
    room = Room(10)
    first, second = Held(room), Held(room)
    first.take(4)
    first.take(2)
    second.take(4)
    with pytest.raises(UnavailableError, match="hold 10 of 10 bytes for bodies; try again"):
        second.take(1)
    first.give_back()
    second.take(6)
    second.give_back()
    second.give_back()  # once is enough
    assert room.held_bytes == 0
