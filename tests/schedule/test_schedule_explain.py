from __future__ import annotations

import re

import pytest
from measured import ALPHA_S, profile

from prism_edge.plan import Plan
from prism_edge.schedule.cost import costs_of
from prism_edge.schedule.explain import link_text, rate, seconds, size
from prism_edge.schedule.link import PAYLOAD_SHARE, LinkState
from prism_edge.schedule.policy import choose

COSTS = costs_of(profile(), "net")


def link(bandwidth_bps: float) -> LinkState:
    return LinkState(alpha_s=ALPHA_S, bandwidth_bps=bandwidth_bps, source="observed")


def why(batch: int, rate_bps: float, plans: list[str], **options: object) -> str:
    parsed = [Plan.parse(text) for text in plans]
    return choose(
        COSTS,
        batch=batch,
        tokens=197,
        boards=2,
        link=link(rate_bps),
        plans=parsed,
        **options,  # type: ignore[arg-type]
    ).why


def test_a_distributed_plan_is_compared_with_local() -> None:
    said = why(1, 98e6, ["prism:p=2,l=10,dtype=fp16"])
    form = (
        r"prism:p=2,l=10,dtype=fp16 predicted 0\.\d{3} s against local 0\.\d{3} s "
        r"\((\d+) % less\); link 98 Mbit/s observed"
    )
    found = re.fullmatch(form, said)
    assert found is not None, said
    assert 40 < int(found[1]) < 52


def test_a_slow_link_is_blamed_with_its_numbers() -> None:
    said = why(1, 1e6, ["prism:p=2,l=10,dtype=fp32"])
    assert said.startswith("local predicted 0.3")
    assert "exchanging 11 x 30.7 kB over 1 Mbit/s alone takes 2.6" in said
    assert said.endswith("s)")


def test_input_is_blamed_when_it_is_the_input() -> None:
    assert "sending 78.3 kB of input over 1 Mbit/s alone takes 0.62" in why(
        1, 1e6, ["prism:p=2,l=1,dtype=fp32"]
    ).replace("0.63", "0.62")


def test_a_near_miss_names_the_next_best() -> None:
    said = why(2, 30e6, ["split:p=2"])
    assert said.startswith("split:p=2 predicted")
    assert "next best local" in said


def test_split_says_why_nothing_is_exchanged() -> None:
    said = why(4, 5e6, ["split:p=2", "voltage:p=2"])
    assert said.startswith("split:p=2 predicted")
    assert "% less" in said
    assert "exchanging 11 x" in said


def test_alone() -> None:
    assert why(1, 1e8, []).endswith("; no other plan fits")


def test_the_sentence_is_one_line_of_text() -> None:
    for batch in (1, 2, 8):
        for rate_bps in (1e5, 1e6, 1e8):
            said = choose(COSTS, batch=batch, tokens=197, boards=2, link=link(rate_bps)).why
            assert said.isprintable()
            assert len(said) < 200


@pytest.mark.parametrize(
    ("bandwidth_bps", "text"),
    [(98.4e6, "98.4 Mbit/s"), (1e6, "1 Mbit/s"), (2.5e9, "2.5 Gbit/s"), (64e3, "64 kbit/s")],
)
def test_rates(bandwidth_bps: float, text: str) -> None:
    assert rate(link(bandwidth_bps)) == text


def test_a_given_rate_is_shown_as_given() -> None:
    given = LinkState(alpha_s=0.0, bandwidth_bps=50e6 * PAYLOAD_SHARE, source="given")
    assert link_text(given) == "link 50 Mbit/s given"
    assert link_text(None) == "link unknown"


def test_quantities() -> None:
    assert [seconds(value) for value in (0.0024, 0.0312, 0.2314, 2.714)] == [
        "2.4 ms",
        "0.031 s",
        "0.231 s",
        "2.71 s",
    ]
    assert [size(count) for count in (0, 999, 30_720, 6_657_024)] == [
        "0 B",
        "999 B",
        "30.7 kB",
        "6.66 MB",
    ]
