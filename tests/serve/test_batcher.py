"""The batcher under any traffic: nothing lost, doubled, overtaken, too large or too late."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prism_edge.errors import UnavailableError
from prism_edge.serve.batcher import Batcher, Waiting, join_inputs, split_outputs

DELAY_S = 0.01
LIMIT_S = 1.0


def request(
    ticket: int,
    rows: int = 1,
    model: str = "m",
    plan: str | None = None,
    at_s: float = 0.0,
    limit_s: float = LIMIT_S,
    width: int = 3,
    dtype: str = "f4",
) -> Waiting[int]:
    values = np.full((rows, width), ticket, dtype=dtype)
    return Waiting(
        ticket=ticket,
        model=model,
        inputs={"x": values},
        plan=plan,
        arrived_s=at_s,
        deadline_s=at_s + limit_s,
    )


def batcher(max_batch: int = 8, limit: int = 1000, expected: int = 8) -> Batcher[int]:
    """One whose last batch was of ``expected`` requests."""
    return Batcher(max_batch=max_batch, max_delay_s=DELAY_S, limit=limit, expected=expected)


def tickets(batch: list[Waiting[int]]) -> list[int]:
    return [one.ticket for one in batch]


# -- by example --------------------------------------------------------------------------------


def test_a_request_waits_for_the_company_of_the_last_batch_but_not_longer_than_the_delay() -> None:
    queue = batcher(expected=2)
    queue.add(request(1))
    assert queue.take(DELAY_S * 0.9) == []
    assert tickets(queue.take(DELAY_S)) == [1]
    assert queue.take(1.0) == []


def test_a_batch_as_large_as_the_last_one_leaves_at_once() -> None:
    queue = batcher(expected=2)
    queue.add(request(1))
    queue.add(request(2))
    assert tickets(queue.take(0.0)) == [1, 2]
    queue.add(request(3))
    assert queue.take(0.0) == []


def test_who_asks_alone_waits_for_nobody() -> None:
    queue = Batcher[int](max_batch=8, max_delay_s=DELAY_S, limit=10)
    for ticket in range(3):
        queue.add(request(ticket, at_s=ticket))
        assert queue.wake_s() == ticket
        assert tickets(queue.take(ticket)) == [ticket]


def test_a_full_batch_leaves_at_once() -> None:
    queue = batcher(max_batch=3)
    for ticket in range(4):
        queue.add(request(ticket))
    assert tickets(queue.take(0.0)) == [0, 1, 2]
    assert queue.take(0.0) == []
    assert tickets(queue.take(DELAY_S)) == [3]


def test_a_batch_that_cannot_take_the_next_request_is_full() -> None:
    queue = batcher(max_batch=4)
    for ticket, rows in enumerate([3, 2, 1]):
        queue.add(request(ticket, rows))
    assert tickets(queue.take(0.0)) == [0]  # 1 does not fit, and 2 must not overtake it
    assert tickets(queue.take(DELAY_S)) == [1, 2]


def test_a_request_larger_than_a_batch_goes_alone_at_once() -> None:
    queue = batcher(max_batch=4)
    queue.add(request(0, rows=9))
    queue.add(request(1))
    assert tickets(queue.take(0.0)) == [0]
    assert tickets(queue.take(DELAY_S)) == [1]


@pytest.mark.parametrize(
    "other",
    [
        request(2, model="n"),
        request(2, plan="local"),
        request(2, width=4),
        request(2, dtype="f8"),
    ],
)
def test_requests_of_another_kind_do_not_share_a_batch(other: Waiting[int]) -> None:
    queue = batcher()
    queue.add(request(1))
    queue.add(other)
    queue.add(request(3))
    assert tickets(queue.take(DELAY_S)) == [1, 3]
    assert tickets(queue.take(DELAY_S)) == [2]


def test_a_full_queue_refuses_and_says_when_to_come_back() -> None:
    queue = batcher(limit=2)
    queue.add(request(0))
    queue.add(request(1))
    with pytest.raises(UnavailableError, match="2 requests wait") as caught:
        queue.add(request(2))
    assert caught.value.retry_after_s > 0
    assert tickets(queue.take(DELAY_S)) == [0, 1]
    queue.add(request(2))


def test_a_request_that_expired_or_was_taken_back_is_not_served() -> None:
    queue = batcher()
    queue.add(request(0, limit_s=0.005))
    queue.add(request(1))
    queue.add(request(2))
    queue.remove(1)
    assert tickets(queue.expired(0.0049)) == []
    assert tickets(queue.expired(0.005)) == [0]
    assert tickets(queue.take(DELAY_S)) == [2]


def test_it_says_when_to_wake() -> None:
    queue = batcher()
    assert queue.wake_s() is None
    queue.add(request(0, at_s=5.0))
    assert queue.wake_s() == 5.0 + DELAY_S
    queue.add(request(1, at_s=5.0, limit_s=DELAY_S / 2))
    assert queue.wake_s() == 5.0 + DELAY_S / 2


# -- under load --------------------------------------------------------------------------------


def sizes(queue: Batcher[int], gap_s: float, count: int = 1000) -> list[int]:
    """Of the batches, when a request comes every ``gap_s`` and a batch computes for 2 ms and half a
    millisecond more per request."""
    found, now_s, came = [], 0.0, 0
    while came < count or queue.queue:
        while came < count and came * gap_s <= now_s:
            queue.add(request(came, at_s=came * gap_s))
            came += 1
        if batch := queue.take(now_s):
            found.append(len(batch))
            now_s += 0.002 + 0.0005 * len(batch)
        else:
            next_s = came * gap_s if came < count else math.inf
            now_s = min(next_s, queue.wake_s() or math.inf)
    return found


@pytest.mark.parametrize(
    ("gap_s", "least", "most"),
    [
        (0.01, 1, 1),  # each comes long after the one before it was answered
        (0.001, 4, 4),  # 1000 per second; one by one 400 could be computed
        (0.0008, 7, 7),
    ],
)
def test_under_load_batches_form(gap_s: float, least: int, most: int) -> None:
    found = sizes(batcher(limit=16, expected=1), gap_s)
    settled = found[20:-2]
    assert (min(settled), max(settled)) == (least, most)


class Alone(Batcher[int]):
    """A control: never waits, and takes one at a time."""

    def take(self, now_s: float) -> list[Waiting[int]]:
        batch, self.queue = self.queue[:1], self.queue[1:]
        return batch


def test_control_without_batches_the_queue_is_full() -> None:
    with pytest.raises(UnavailableError):
        sizes(Alone(max_batch=8, max_delay_s=DELAY_S, limit=16), 0.001)


# -- under any traffic -------------------------------------------------------------------------

arrivals = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.001, 0.004, 0.02]),  # seconds since the one before
        st.integers(1, 6),  # rows
        st.sampled_from("mn"),
        st.sampled_from([None, "local"]),
        st.sampled_from([0.003, LIMIT_S]),  # its deadline
        st.booleans(),  # whether its client hangs up at once
    ),
    max_size=40,
)
Event = tuple[str, float, list[Waiting[int]]]
Arrival = tuple[float, int, str, str | None, float, bool]


def traffic(
    queue: Batcher[int], arriving: list[Arrival]
) -> tuple[list[Waiting[int]], list[Event], set[int]]:
    """Requests as they come; the daemon wakes when told to. What came, left and hung up."""
    came: list[Waiting[int]] = []
    events: list[Event] = []
    hung_up: set[int] = set()
    now_s = 0.0

    def serve() -> None:
        late = queue.expired(now_s)
        if late:
            events.append(("expired", now_s, late))
        while batch := queue.take(now_s):
            events.append(("batch", now_s, batch))

    def sleep_until(end_s: float) -> None:
        nonlocal now_s
        while (wake_s := queue.wake_s()) is not None and wake_s <= end_s:
            assert wake_s > now_s or queue.take(now_s) == [], "woken without a reason"
            now_s = max(now_s, wake_s)
            serve()
        now_s = end_s

    for ticket, (gap_s, rows, model, plan, limit_s, goes) in enumerate(arriving):
        sleep_until(now_s + gap_s)
        came.append(request(ticket, rows, model, plan, now_s, limit_s))
        queue.add(came[-1])
        if goes:
            queue.remove(ticket)
            hung_up.add(ticket)
        serve()
    sleep_until(now_s + 10.0)
    return came, events, hung_up


def complaints(
    queue: Batcher[int], came: list[Waiting[int]], events: list[Event], hung_up: set[int]
) -> list[str]:
    """Which laws were broken."""
    found = []
    left = [one.ticket for _, _, batch in events for one in batch]
    if len(set(left)) != len(left):
        found.append("doubled")
    if set(left) | hung_up != {one.ticket for one in came} or set(left) & hung_up:
        found.append("lost")
    last: dict[object, int] = {}
    for kind, at_s, batch in events:
        if kind == "expired":
            found += ["early" for one in batch if at_s < one.deadline_s]
            continue
        if len({one.key for one in batch}) != 1:
            found.append("mixed")
        if sum(one.rows for one in batch) > queue.max_batch and len(batch) > 1:
            found.append("too large")
        for one in batch:
            if one.ticket < last.get(one.key, -1):
                found.append("overtaken")
            last[one.key] = one.ticket
            if at_s >= one.deadline_s:
                found.append("late")
        if at_s > batch[0].arrived_s + queue.max_delay_s + 1e-9:
            found.append("delayed")
    return found


def run_traffic(queue: Batcher[int], arriving: list[Arrival]) -> list[str]:
    came, events, hung_up = traffic(queue, arriving)
    assert queue.queue == []
    return complaints(queue, came, events, hung_up)


@settings(deadline=None, max_examples=300)
@given(arrivals, st.integers(1, 8))
def test_the_laws_hold_under_any_traffic(arriving: list[Arrival], max_batch: int) -> None:
    assert run_traffic(batcher(max_batch), arriving) == []


class Overtaking(Batcher[int]):
    """A control: takes whatever fits."""

    def take(self, now_s: float) -> list[Waiting[int]]:
        batch: list[Waiting[int]] = []
        for one in self.queue:
            fits = sum(other.rows for other in batch) + one.rows <= self.max_batch
            if not batch or (one.key == batch[0].key and fits):
                batch.append(one)
        self.queue = [one for one in self.queue if one not in batch]
        return batch


class Greedy(Batcher[int]):
    """A control: takes all, whatever its kind or number."""

    def take(self, now_s: float) -> list[Waiting[int]]:
        batch, self.queue = self.queue, []
        return batch


class Lossy(Batcher[int]):
    """A control: loses the last request of a batch."""

    def take(self, now_s: float) -> list[Waiting[int]]:
        batch = super().take(now_s)
        return batch[:-1] if len(batch) > 1 else batch


class Doubling(Batcher[int]):
    """A control: a batch of two is served twice."""

    def take(self, now_s: float) -> list[Waiting[int]]:
        batch = super().take(now_s)
        return batch * 2 if len(batch) == 2 else batch


class Late(Batcher[int]):
    """A control: does not look at deadlines, and waits for company twice as long."""

    def expired(self, now_s: float) -> list[Waiting[int]]:
        return []

    def take(self, now_s: float) -> list[Waiting[int]]:
        return super().take(now_s - self.max_delay_s)

    def wake_s(self) -> float | None:
        return self.queue[0].arrived_s + 2 * self.max_delay_s if self.queue else None


def plain(*rows: int) -> list[Arrival]:
    return [(0.0, count, "m", None, LIMIT_S, False) for count in rows]


MIXED: list[Arrival] = [(0.0, 1, name, None, LIMIT_S, False) for name in "mnmn"]
HURRIED: list[Arrival] = [(0.0, 1, "m", None, 0.003, False)]


@pytest.mark.parametrize(
    ("kind", "arriving", "found"),
    [
        (Greedy, MIXED, "mixed"),
        (Greedy, plain(1, 1, 4), "too large"),
        (Lossy, plain(1, 1, 1), "lost"),
        (Doubling, plain(1, 1), "doubled"),
        (Late, HURRIED, "late"),
        (Late, plain(1), "delayed"),
    ],
)
def test_control_each_law_can_be_broken(
    kind: Callable[..., Batcher[int]], arriving: list[Arrival], found: str
) -> None:
    queue = kind(max_batch=4, max_delay_s=DELAY_S, limit=100, expected=4)
    for gap_s, rows, model, plan, limit_s, _ in arriving[:-1]:  # all but the last are there already
        queue.add(request(-1 - len(queue.queue), rows, model, plan, 0.0, limit_s))
        assert gap_s == 0.0
    waiting = list(queue.queue)
    came, events, hung_up = traffic(queue, arriving[-1:])
    assert found in complaints(queue, waiting + came, events, hung_up)


def test_control_overtaking_is_noticed() -> None:
    queue = Overtaking(max_batch=4, max_delay_s=DELAY_S, limit=100)
    for ticket, rows in enumerate([3, 2, 1]):
        queue.add(request(ticket, rows))
    came = list(queue.queue)
    events: list[Event] = [("batch", 0.0, queue.take(0.0)), ("batch", 0.0, queue.take(0.0))]
    assert complaints(queue, came, events, set()) == ["overtaken"]


# -- tensors together and apart ----------------------------------------------------------------


@given(st.lists(st.integers(1, 5), min_size=1, max_size=6))
def test_splitting_undoes_joining(rows: list[int]) -> None:
    batch = [request(ticket, count) for ticket, count in enumerate(rows)]
    joined = join_inputs(batch)
    assert joined["x"].shape == (sum(rows), 3)
    parts = split_outputs(batch, {"y": joined["x"] * 2})
    assert len(parts) == len(batch)
    for one, part in zip(batch, parts, strict=True):
        np.testing.assert_array_equal(part["y"], one.inputs["x"] * 2)


def test_control_parts_in_another_order_are_not_the_inputs() -> None:
    batch = [request(0, 1), request(1, 2)]
    parts = split_outputs(batch[::-1], join_inputs(batch))
    assert not np.array_equal(parts[0]["x"], batch[1].inputs["x"])


def test_every_tensor_is_joined_under_its_own_name_whatever_the_order() -> None:
    def two(ticket: int, names: str) -> Waiting[int]:
        inputs = {name: np.full((1, 2), ord(name) + ticket) for name in names}
        return Waiting(
            ticket=ticket, model="m", inputs=inputs, plan=None, arrived_s=0.0, deadline_s=1.0
        )

    one, other = two(0, "xy"), two(1, "yx")
    assert one.key == other.key
    joined = join_inputs([one, other])
    assert joined["x"][:, 0].tolist() == [ord("x"), ord("x") + 1]
    assert joined["y"][:, 0].tolist() == [ord("y"), ord("y") + 1]
