"""A staging rule says which path every payload takes; measured rows give the fastest one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_edge.errors import SettingsError
from prism_edge.tables import StagingRow
from prism_edge.tables.staging_rule import PATHS, StagingRule, fastest_rule, medians

SIZES = (4096, 65536, 1 << 20)


def rows(latency_s: dict[tuple[str, str, int], list[float]], board: str = "a") -> list[StagingRow]:
    """Rows of (path, direction, bytes): seconds of every repeat."""
    return [
        StagingRow(
            board=board, path=path, direction=way, bytes=size, repeat=repeat, latency_s=second
        )
        for (path, way, size), seconds in latency_s.items()
        for repeat, second in enumerate(seconds)
    ]


def both(path: str, *by_size: float) -> dict[tuple[str, str, int], list[float]]:
    return {
        (path, way, size): [second] * 3
        for way in ("d2h", "h2d")
        for size, second in zip(SIZES, by_size, strict=True)
    }


@pytest.mark.parametrize("text", ["gloo", "pinned", "mapped:65536,pinned", "gloo:1,mapped:2,gloo"])
def test_a_rule_is_its_text(text: str) -> None:
    assert str(StagingRule.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        *("", "fast", "copy", "pinned,", "mapped,pinned", "mapped:65536"),
        *(f"mapped:{size},pinned" for size in ("0", "-1", "x", "1.5", "2,gloo:2", "2,gloo:1")),
    ],
)
def test_a_text_that_is_no_rule_is_refused_with_what_is(text: str) -> None:
    with pytest.raises(SettingsError, match="expected one of auto, gloo, pinned, mapped") as caught:
        StagingRule.parse(text)
    assert repr(text) in str(caught.value)


def test_a_size_takes_the_first_path_that_reaches_it() -> None:
    rule = StagingRule.parse("mapped:65536,pinned:1048576,gloo")
    found = [rule.path(size) for size in (0, 65536, 65537, 1 << 20, (1 << 20) + 1)]
    assert found == ["mapped", "mapped", "pinned", "pinned", "gloo"]
    assert rule.paths == {"mapped", "pinned", "gloo"}


@pytest.mark.parametrize(
    ("wanted", "broken", "expected", "named"),
    [
        ("mapped:65536,pinned", [], "mapped:65536,pinned", []),
        ("mapped:65536,pinned", ["mapped"], "pinned", ["mapped"]),
        ("mapped:65536,gloo", ["mapped"], "pinned:65536,gloo", ["mapped"]),
        ("mapped:65536,gloo", ["mapped", "pinned"], "gloo", ["mapped", "pinned"]),
        ("mapped:65536,pinned", ["pinned"], "mapped:65536,gloo", ["pinned"]),
        ("gloo", ["mapped", "pinned"], "gloo", []),
        ("pinned:9,mapped", ["mapped"], "pinned", ["mapped"]),
    ],
)
def test_a_path_with_a_fault_is_replaced_by_a_simpler_one_that_has_none(
    wanted: str, broken: list[str], expected: str, named: list[str]
) -> None:
    rule, why = StagingRule.parse(wanted).working(lambda path: "no" if path in broken else None)
    assert str(rule) == expected
    assert why == ("; ".join(f"{path}: no" for path in named) or None)


def test_the_fastest_path_is_found_for_every_size() -> None:
    measured = both("gloo", 3, 3, 3) | both("pinned", 2, 2, 1) | both("mapped", 1, 1, 4)
    assert str(fastest_rule(rows(measured), "a")) == "mapped:65536,pinned"
    slower = measured | both("mapped", 1, 9, 4)  # one cell changed changes the rule
    assert str(fastest_rule(rows(slower), "a")) == "mapped:4096,pinned"


def test_out_and_in_count_together() -> None:
    measured = both("gloo", 2, 2, 2) | both("pinned", 1, 1, 1)
    assert str(fastest_rule(rows(measured), "a")) == "pinned"
    for size in SIZES:
        measured["pinned", "h2d", size] = [4]
    assert str(fastest_rule(rows(measured), "a")) == "gloo"


def test_a_median_forgives_one_late_repeat_and_a_tie_takes_the_simpler_path() -> None:
    measured = both("gloo", 2, 2, 2) | both("mapped", 1, 2, 1)
    measured["mapped", "d2h", 4096] = [1, 1, 50]
    assert str(fastest_rule(rows(measured), "a")) == "mapped:4096,gloo:65536,mapped"


def test_a_path_measured_one_way_only_is_no_candidate() -> None:
    half = {key: value for key, value in both("mapped", 1, 1, 1).items() if key[1] == "d2h"}
    assert str(fastest_rule(rows(both("gloo", 9, 9, 9) | half), "a")) == "gloo"


def test_other_boards_and_plain_copies_say_nothing() -> None:
    assert fastest_rule(rows(both("pinned", 1, 1, 1), board="b"), "a") is None
    assert fastest_rule(rows(both("copy", 1, 1, 1)), "a") is None
    assert fastest_rule([], "a") is None


@given(
    st.dictionaries(
        st.tuples(
            st.sampled_from(PATHS), st.sampled_from(["d2h", "h2d"]), st.sampled_from([1, 8, 64, 99])
        ),
        st.lists(st.integers(1, 9).map(float), min_size=1, max_size=4),
        max_size=24,
    )
)
def test_a_rule_from_rows_can_be_written_and_read(
    measured: dict[tuple[str, str, int], list[float]],
) -> None:
    rule = fastest_rule(rows(measured), "a")
    if rule is None:
        return
    assert StagingRule.parse(str(rule)) == rule
    sides = zip(rule.steps, rule.steps[1:], strict=False)
    assert all(left[1] != right[1] for left, right in sides)


def test_medians_are_by_size_path_and_direction() -> None:
    one = {("gloo", "d2h", size): [1.0, 9.0, 2.0] for size in (8192, 4096)}
    found = medians(rows({**one, ("pinned", "h2d", 4096): [3.0]}))
    assert list(found) == [4096, 8192]
    assert found[4096] == {("gloo", "d2h"): 2.0, ("pinned", "h2d"): 3.0}
