"""Message buffers are allocated once, never shared, and large enough."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from prism_edge.transport.buffers import SMALLEST, Buffers


class Memory:
    """``made``: the sizes that were ever allocated."""

    def __init__(self) -> None:
        self.made: list[int] = []

    def __call__(self, size: int) -> Tensor:
        self.made.append(size)
        return torch.empty(size, dtype=torch.uint8)


def addresses(taken: list[Tensor]) -> set[int]:
    return {buffer.data_ptr() for buffer in taken}


def test_a_request_that_repeats_allocates_nothing() -> None:
    memory = Memory()
    buffers, sizes = Buffers(memory), [17, 61_456, 61_456, 5000, 16]
    first = [buffers.take(size) for size in sizes]
    assert len(addresses(first)) == len(memory.made) == 5
    for buffer in first:
        buffers.give(buffer)
    for _ in range(3):
        again = [buffers.take(size) for size in sizes]
        assert addresses(again) == addresses(first)
        for buffer in again:
            buffers.give(buffer)
    assert len(memory.made) == 5
    buffers.take(1 << 20)  # the control: what was never asked for before
    assert len(memory.made) == 6


@pytest.mark.parametrize(
    ("size", "room"),
    [(1, SMALLEST), (4096, 4096), (4097, 8192), (61_456, 65_536), (65_536, 65_536)],
)
def test_sizes_are_rounded_up_so_that_lengths_share(size: int, room: int) -> None:
    memory = Memory()
    buffer = Buffers(memory).take(size)
    assert (buffer.shape, memory.made) == ((size,), [room])


def test_texts_of_many_lengths_share_few_buffers() -> None:
    memory = Memory()
    buffers = Buffers(memory)
    for tokens in range(1, 513):
        buffers.give(buffers.take(tokens * 3072))
    assert len(memory.made) == 10  # powers of two from 4 KiB to 2 MiB


def test_what_is_lent_is_nobody_elses() -> None:
    buffers = Buffers(Memory())
    one, other = buffers.take(100), buffers.take(100)
    one.fill_(1)
    other.fill_(2)
    assert bool((one == 1).all())
    buffers.give(one)
    assert buffers.take(200).data_ptr() == one.data_ptr()  # now it may be used again
    assert bool((other == 2).all())


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 20_000)), max_size=40))
def test_whatever_the_order_nothing_is_lent_twice(steps: list[tuple[bool, int]]) -> None:
    memory = Memory()
    buffers, lent, most = Buffers(memory), list[Tensor](), 0
    for give, size in steps:
        if give and lent:
            buffers.give(lent.pop(size % len(lent)))
        else:
            lent.append(buffers.take(size))
            assert lent[-1].shape == (size,)
        assert len(addresses(lent)) == len(lent)
        most = max(most, len(lent))
    assert len(memory.made) <= 4 * most  # at most ``most`` of each of the four sizes


def test_threads_do_not_get_the_same_buffer() -> None:
    memory = Memory()
    buffers = Buffers(memory)

    def use(number: int) -> bool:
        for _ in range(200):
            buffer = buffers.take(64)
            buffer.fill_(number)
            if not bool((buffer == number).all()):
                return False
            buffers.give(buffer)
        return True

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(use, range(4)))
    assert len(memory.made) <= 4
