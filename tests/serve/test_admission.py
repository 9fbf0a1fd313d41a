"""Who would be answered too late is told at once, and when to come again; others are let in."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_edge.errors import UnavailableError
from prism_edge.serve.admission import KINDS, SHARE, Admission, Lately, batches_of
from prism_edge.serve.batcher import Batcher, Waiting

MAX_BATCH = 4


def request(
    rows: int = 1, *, width: int = 2, limit_s: float = 1.0, model: str = "m", arrived_s: float = 0.0
) -> Waiting[int]:
    return Waiting(
        ticket=0,
        model=model,
        inputs={"x": np.zeros((rows, width), np.float32)},
        plan=None,
        arrived_s=arrived_s,
        deadline_s=arrived_s + limit_s,
    )


def experienced(batch_s: float = 0.1, rows: int = MAX_BATCH) -> Admission:
    """Knows batches that take exactly that."""
    admission = Admission(MAX_BATCH)
    admission.took([request(rows)], batch_s)
    return admission


class IsIt:
    """Equal to one request alone: arrays have no equality."""

    def __init__(self, one: Waiting[int]) -> None:
        self._one = one

    def __eq__(self, other: object) -> bool:
        return other is self._one

    __hash__ = None  # type: ignore[assignment]


def refused(
    admission: Admission, queue: list[Waiting[int]], new: Waiting[int], engine_s: float = 0.0
) -> float | None:
    """After how many seconds to come again; None: admitted."""
    try:
        admission.check(queue, new, new.arrived_s, engine_s)
    except UnavailableError as error:
        return error.retry_after_s
    return None


def test_who_can_be_answered_in_time_is_let_in() -> None:
    admission = experienced(0.1)
    assert refused(admission, [request(4)] * 5, request(4)) is None  # the sixth batch: 0.6 s


def test_who_cannot_is_told_when_it_could() -> None:
    admission = experienced(0.1)
    again_s = refused(admission, [request(4)] * 9, request(4))  # the tenth batch: 1.0 s
    assert again_s == pytest.approx(1.0 - SHARE)
    # by then four batches have left
    assert refused(admission, [request(4)] * 5, request(4, arrived_s=again_s + 0.1)) is None


def test_the_batch_under_way_counts_for_what_is_left_of_it() -> None:
    admission = experienced(0.5)
    admission.started([request(4)], 10.0)
    assert admission.busy
    assert refused(admission, [], request(4, arrived_s=10.125)) == pytest.approx(0.875 - SHARE)
    assert refused(admission, [], request(4, arrived_s=10.4)) is None
    admission.ended()
    assert not admission.busy


def test_a_batch_that_is_late_is_expected_to_be_late_for_as_long_again() -> None:
    admission = experienced(0.1)
    admission.started([request(4)], 10.0)
    assert refused(admission, [], request(4, arrived_s=10.5)) is None  # 0.4 s and its own 0.1 s
    assert refused(admission, [], request(4, arrived_s=11.1)) == pytest.approx(1.1 - SHARE)


def test_an_engine_that_is_not_ready_counts() -> None:
    admission = experienced(0.1)
    assert refused(admission, [], request(4), engine_s=0.5) is None
    assert refused(admission, [], request(4), engine_s=2.0) == pytest.approx(2.1 - SHARE)


def test_an_idle_daemon_takes_whatever_comes_or_it_would_never_learn_better() -> None:
    admission = experienced(5.0)
    assert refused(admission, [], request(4)) is None
    assert refused(admission, [request()], request(4)) is not None


def test_what_nobody_has_measured_is_let_in() -> None:
    admission = Admission(MAX_BATCH)
    admission.started([request()], 0.0)
    assert refused(admission, [request()] * 50, request()) is None


def test_a_kind_that_has_not_run_is_like_its_model_s_others_row_by_row() -> None:
    admission = experienced(0.5)
    assert admission.lately(request(width=9).key, 2).expected_s == 0.25
    assert admission.lately(request(model="other").key, 4).expected_s == 0.0


def test_what_varies_is_expected_late() -> None:
    steady, unsteady = Lately(), Lately()
    for number in range(40):
        steady.took(0.2)
        unsteady.took(0.1 + 0.2 * (number % 2))
    assert steady.expected_s == pytest.approx(0.2)
    assert unsteady.expected_s > 0.3  # the longest there was
    for _ in range(40):
        unsteady.took(0.1)
    assert unsteady.expected_s == pytest.approx(0.1, rel=0.05)  # what was is forgotten


def test_what_is_remembered_does_not_grow() -> None:
    admission = experienced(1.0)
    for width in range(3, KINDS + 10):
        admission.took([request(width=width)], 2.0)
    assert len(admission._kinds) == KINDS
    assert admission.lately(request(width=KINDS + 9).key, 1).mean_s == 2.0


ROWS = st.lists(st.tuples(st.integers(1, 6), st.integers(1, 2)), min_size=1, max_size=20)


@given(ROWS)
def test_what_is_ahead_is_what_the_batcher_makes(
    arriving: list[tuple[int, int]],
) -> None:
    queue: Batcher[int] = Batcher(MAX_BATCH, 0.0, 100)
    for rows, width in arriving:
        queue.add(request(rows, width=width))
    expected, left = batches_of(queue.queue, MAX_BATCH), []
    while queue.queue:
        left.append(queue.take(math.inf))
    assert [[id(one) for one in batch] for batch in left] == [
        [id(one) for one in batch] for batch in expected
    ]


def test_a_batch_that_leaves_behind_a_request_does_not_keep_it_waiting() -> None:
    admission = experienced(0.5)
    assert refused(admission, [request(1), request(4, width=3)], request(1)) is None
    assert refused(admission, [request(4), request(4, width=3)], request(1)) is not None


def test_who_cannot_be_answered_in_time_any_more_is_told_and_the_others_move_up() -> None:
    admission, queue = experienced(0.25), [request(4) for _ in range(5)]
    assert refused(admission, queue[:1], queue[1]) is None
    told = admission.hopeless(queue, 0.375)  # two end in time
    assert [request for request, _ in told] == [IsIt(one) for one in queue[2:]]
    assert [error.retry_after_s for _, error in told] == pytest.approx([0.125] * 3)
    admission.took([request(4)], 0.45)  # 0.4 s are expected now
    assert len(admission.hopeless(queue, 0.375)) == 4


def test_who_is_late_leaves_room_for_those_behind() -> None:
    admission = experienced(0.5)
    queue = [request(4), request(4, limit_s=0.75), request(4)]
    assert [request for request, _ in admission.hopeless(queue, 0.0)] == [IsIt(queue[1])]


def test_somebody_always_finds_out_whether_it_is_still_so_slow() -> None:
    admission, queue = experienced(5.0), [request(4), request(4)]
    assert [one for one, _ in admission.hopeless(queue, 0.0)] == [IsIt(queue[0])]
    assert admission.hopeless(queue[1:], 0.0) == []
