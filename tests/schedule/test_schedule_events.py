"""Every event is one line of JSON and comes back as it was; a damaged line is told."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_edge.errors import JournalError
from prism_edge.schedule.events import (
    Aim,
    Answered,
    Asked,
    Event,
    Probed,
    Started,
    from_json,
    to_json,
)

seconds = st.floats(0, 1e10)
counts = st.integers(0, 10**12)
names = st.text(max_size=12)
boards = st.lists(names, max_size=4).map(tuple)
aims = st.builds(
    Aim,
    objective=st.sampled_from(["latency", "energy", "edp"]),
    exact=st.booleans(),
    max_accuracy_drop=st.none() | seconds,
    hysteresis=seconds,
)
spans = st.lists(st.tuples(names, seconds, seconds, counts), max_size=4).map(tuple)
efforts = st.lists(st.none() | st.tuples(seconds, seconds), max_size=3).map(tuple)
events: st.SearchStrategy[Event] = st.one_of(
    st.builds(Started, now_s=seconds, aim=aims, profile=names, boards=boards),
    st.builds(
        Asked,
        now_s=seconds,
        model=names,
        batch=counts,
        tokens=counts,
        boards=boards,
        left_s=st.none() | st.floats(-10, 10),
    ),
    st.builds(
        Answered,
        now_s=seconds,
        model=names,
        plan=names,
        batch=counts,
        tokens=counts,
        boards=boards,
        engine_s=seconds,
        spans=spans,
        efforts=efforts,
    ),
    st.builds(Probed, now_s=seconds, bytes=counts, seconds=st.lists(seconds).map(tuple)),
)
LINE = to_json(Probed(now_s=1.5, bytes=4096, seconds=(0.25, 0.5)))


@given(events)
def test_an_event_comes_back_as_it_was(event: Event) -> None:
    line = to_json(event)
    assert "\n" not in line
    again = from_json(line)
    assert again == event
    assert type(again) is type(event)
    assert hash(again) == hash(event), "lists came back as lists"


@given(events, st.data())
def test_a_line_that_was_cut_is_told(event: Event, data: st.DataObject) -> None:
    line = to_json(event)
    with pytest.raises(JournalError, match="not a decision event"):
        from_json(line[: data.draw(st.integers(0, len(line) - 1))])


def test_what_a_line_looks_like() -> None:
    assert LINE == '{"event":"probed","now_s":1.5,"bytes":4096,"seconds":[0.25,0.5]}'


@pytest.mark.parametrize(
    "line",
    [
        "",
        "null",
        "[]",
        "7",
        '"probed"',
        "{}",
        LINE.replace("probed", "dreamt"),
        LINE.replace('"event":"probed",', ""),
        LINE.replace('"bytes":4096,', ""),
        LINE.replace("}", ',"more":1}'),
        '{"event":["probed"]}',
        '{"event":"started","now_s":1,"aim":{"objective":"beauty"},"profile":"d","boards":[]}',
        '{"event":"started","now_s":1,"aim":{"speed":1},"profile":"d","boards":[]}',
    ],
)
def test_a_damaged_line_is_told_with_its_beginning(line: str) -> None:
    with pytest.raises(JournalError, match="not a decision event") as told:
        from_json(line)
    assert repr(line[:80]) in str(told.value)


def test_an_unknown_field_is_named() -> None:
    with pytest.raises(JournalError, match="unknown field 'more'"):
        from_json(LINE.replace("}", ',"more":1}'))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_number_that_is_none_is_refused_wherever_it_stands(number: str) -> None:
    started = Started(now_s=1.0, aim=Aim(hysteresis=0.5), profile="d", boards=())
    for line in (
        LINE.replace("1.5", number),
        LINE.replace("0.25", number),
        to_json(started).replace("0.5", number),
    ):
        assert number in line
        with pytest.raises(JournalError, match=f"{number} is no finite number"):
            from_json(line)


def test_an_aim_says_what_is_allowed() -> None:
    with pytest.raises(ValueError, match=r"objective='beauty', allowed is \('latency', "):
        Aim(objective="beauty")  # type: ignore[arg-type]


@given(spans)
def test_spans_add_up_by_name(given_spans: tuple[tuple[str, float, float, int], ...]) -> None:
    event = Answered(
        now_s=0.0,
        model="m",
        plan="local",
        batch=1,
        tokens=1,
        boards=(),
        engine_s=1.0,
        spans=given_spans,
    )
    every = event.total_s(*{name for name, *_ in given_spans})
    assert every == pytest.approx(math.fsum(took for _, _, took, _ in given_spans))
    assert event.total_s() == 0


def test_it_is_json() -> None:
    assert json.loads(LINE)["event"] == "probed"
