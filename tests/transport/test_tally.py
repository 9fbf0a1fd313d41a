"""Seconds at work and seconds waiting: exact, on a clock that only the test moves."""

from __future__ import annotations

import queue

import pytest
import torch

from prism_edge.errors import PeerLostError
from prism_edge.spans import Effort
from prism_edge.transport.loopback import Loopback, Mailbox, loopback_group
from prism_edge.transport.tally import Tally


class Clock:
    """A time that stands still until it is moved."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def test_what_is_not_waiting_is_work() -> None:
    clock = Clock()
    tally = Tally(clock)
    tally.restart()
    assert tally.effort() == Effort(0.0, 0.0)
    clock.now_s += 2
    with tally:
        clock.now_s += 5
    clock.now_s += 0.5
    assert tally.effort() == Effort(2.5, 5.0)
    with tally:
        clock.now_s += 1
    assert tally.effort() == Effort(2.5, 6.0)


def test_before_the_first_request_there_is_none() -> None:
    clock = Clock()
    tally = Tally(clock)
    with tally:
        clock.now_s += 5
    assert tally.effort() == Effort(0.0, 0.0)


def test_what_was_before_a_request_is_no_part_of_it() -> None:
    """As the wait for the next header is before the request of that header."""
    clock = Clock()
    tally = Tally(clock)
    first = tally.restart()
    first[1] = Effort(9.0, 9.0)
    clock.now_s += 2
    with tally:
        clock.now_s += 60
    assert tally.restart() == {}
    clock.now_s += 1
    assert tally.effort() == Effort(1.0, 0.0)
    assert first == {1: Effort(9.0, 9.0)}


def test_a_wait_that_fails_was_a_wait() -> None:
    clock = Clock()
    tally = Tally(clock)
    tally.restart()

    def fail() -> None:
        with tally:
            clock.now_s += 3
            raise PeerLostError("of our own")

    with pytest.raises(PeerLostError):
        fail()
    assert tally.effort() == Effort(0.0, 3.0)


class Slow(queue.Queue):  # type: ignore[type-arg]
    """A mailbox whose messages take five seconds on the way."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def get(self, block: bool = True, timeout: float | None = None) -> object:
        self._clock.now_s += 5
        return super().get(block, timeout)


def test_a_late_message_is_waited_for_and_its_receiver_says_so() -> None:
    clock = Clock()
    mail: Mailbox = {(0, 1): Slow(clock), (1, 0): queue.Queue()}
    leader, worker = (Loopback(rank, 2, mail, 20.0) for rank in range(2))
    leader.tally, worker.tally = Tally(clock), Tally(clock)
    data = torch.zeros(4, dtype=torch.uint8)
    heard = leader.tally.restart()
    worker.tally.restart()
    leader.begin({1: data}, {})
    worker.begin({}, {0: 4}).wait()
    clock.now_s += 2  # it computes
    worker.begin({0: data}, {}).wait()
    clock.now_s += 7  # what comes after its last message is not in it
    leader.begin({}, {1: 4}).wait()
    assert heard == {1: Effort(2.0, 5.0)}


def test_messages_tell_the_request_in_which_they_were_asked_for() -> None:
    """However late they are waited for."""
    clock = Clock()
    leader, worker = loopback_group(2, 20.0)
    worker.tally = Tally(clock)
    data = torch.zeros(4, dtype=torch.uint8)
    parts, pending = [], []
    for seconds in (1, 4):
        worker.tally.restart()
        clock.now_s += seconds
        worker.begin({0: data}, {})
        parts.append(leader.tally.restart())
        pending.append(leader.begin({}, {1: 4}))
    for message in reversed(pending):
        message.wait()
    assert parts == [{1: Effort(1.0, 0.0)}, {1: Effort(4.0, 0.0)}]
