"""A frame arrives as it left, a changed one is noticed, and older boards read what they must."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_edge.engine.manifest import MANIFEST_BYTES
from prism_edge.spans import Effort
from prism_edge.transport.frame import FRAME_BYTES, MOST_US, Frame

NONE = Effort(0.0, 0.0)
times = st.integers(0, MOST_US).map(lambda us: us / 1e6)
efforts = st.builds(Effort, times, times)
frames = st.builds(Frame, st.integers(0, 2**16 - 1), st.integers(0, 2**32 - 1), efforts)


@given(frame=frames)
def test_a_frame_arrives_as_it_left(frame: Frame) -> None:
    data = frame.pack()
    assert len(data) == FRAME_BYTES == 16  # payloads behind it stay aligned
    assert Frame.unpack(data) == frame
    assert frame.announces(frame.number, frame.payload_bytes)


@given(frame=frames, at=st.integers(0, FRAME_BYTES - 1), flip=st.integers(1, 255))
def test_a_flipped_byte_is_noticed(frame: Frame, at: int, flip: int) -> None:
    data = bytearray(frame.pack())
    data[at] ^= flip
    changed = Frame.unpack(bytes(data))
    assert changed is None or not changed.announces(frame.number, frame.payload_bytes)


@pytest.mark.parametrize("others", [(3, 81), (4, 80), (4, 82)])
def test_another_message_is_noticed(others: tuple[int, int]) -> None:
    frame = Frame(3, 80, Effort(1.0, 2.0))
    assert frame.announces(3, 80)
    assert not frame.announces(*others)


def test_numbers_and_sizes_go_on_beyond_what_the_frame_holds() -> None:
    number, size = 3 * 2**16 + 7, 5 * 2**32 + 9
    frame = Frame.unpack(Frame(number, size, NONE).pack())
    assert frame is not None
    assert frame.announces(number, size)
    assert not frame.announces(number + 1, size)
    assert not frame.announces(number, size + 1)


def test_an_effort_beyond_the_frame_is_the_most_it_holds() -> None:
    frame = Frame.unpack(Frame(0, 0, Effort(1e9, -1e-9)).pack())
    assert frame is not None
    assert frame.effort == Effort(MOST_US / 1e6, 0.0)


def test_manifests_of_protocol_2_and_of_this_one_are_framed_alike() -> None:
    """So a board of either release reads that the other speaks another protocol."""
    older = struct.pack("<qq", 0, MANIFEST_BYTES)
    assert Frame(0, MANIFEST_BYTES, NONE).pack() == older
    assert Frame(0, MANIFEST_BYTES, Effort(1e-6, 0.0)).pack() != older  # the control
