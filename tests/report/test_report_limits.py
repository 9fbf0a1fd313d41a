"""What the numbers do not cover is said where it holds, and only there."""

from __future__ import annotations

from dataclasses import replace

import pytest
from synthetic_journal import synthetic, without
from synthetic_profile import synthetic_profile

from prism_edge.energy.sample import Label, Sample
from prism_edge.report import limits
from prism_edge.report.numbers import numbers


def sample(source: Label) -> Sample:
    return Sample(board="a", t_s=1.0, power_w=5.0, source=source)


@pytest.mark.parametrize(
    ("boards", "sources", "label"),
    [
        ({"a": "modelled"}, ("modelled",), "modelled"),
        ({"a": "modelled"}, (), "modelled"),
        ({"a": "sensor"}, ("sensor",), "on-board sensor (VDD_IN: module only)"),
        ({"a": "sensor", "b": "modelled"}, ("sensor", "modelled"), "partly modelled"),
        ({"a": "sensor"}, ("modelled",), "modelled"),  # what was sampled counts
        ({"a": "sensor"}, (), "none"),
        ({"a": "none"}, (), "none"),
        ({}, (), "none"),
    ],
)
def test_power_is_labelled(boards: dict[str, str], sources: tuple[Label, ...], label: str) -> None:
    assert limits.power_label(boards, [sample(source) for source in sources]) == label


def said(kind: str, source: Label = "modelled") -> tuple[str, ...]:
    journal = synthetic()
    boards = {f"power.edge-{i}": source for i in (1, 2)}
    samples = tuple(replace(s, source=source) for s in journal.samples)
    return numbers(
        replace(journal, meta={**journal.meta, **boards, "kind": kind}, samples=samples)
    ).limits


def test_an_emulated_lab_says_so() -> None:
    lab, paced, boards = said("lab"), said("paced"), said("boards", "sensor")
    assert limits.EMULATED in lab
    assert limits.EMULATED in paced
    assert limits.EMULATED not in boards
    assert limits.SHAPED in lab
    assert limits.PACED in paced
    assert not {limits.SHAPED, limits.PACED} & set(boards)
    assert all("Wi-Fi" in text for text in (limits.SHAPED, limits.PACED))


def test_power_is_modelled_or_of_the_module_never_both() -> None:
    assert limits.POWER_MODELLED in said("lab")
    assert limits.POWER_SENSED not in said("lab")
    assert limits.POWER_SENSED in said("boards", "sensor")
    assert limits.POWER_MODELLED not in said("boards", "sensor")


def test_boards_have_clocks_of_their_own() -> None:
    assert limits.CLOCKS in said("boards", "sensor")
    assert limits.CLOCKS not in said("lab")  # one machine, one clock


def test_few_requests_are_counted() -> None:
    # phases 2 (12 requests each way) and 4 (7, and no full exchange) are short
    assert any(text.startswith("5 of 14 latency series") for text in said("lab"))


def test_accuracy_is_missed_only_while_it_is_missing() -> None:
    journal = synthetic()
    assert limits.APPROXIMATE in numbers(journal).limits
    assert limits.APPROXIMATE not in numbers(journal, synthetic_profile()).limits
    bare = replace(synthetic_profile(), accuracy=())
    assert limits.APPROXIMATE in numbers(journal, bare).limits


def test_comparisons_are_explained_only_where_there_are_some() -> None:
    journal = synthetic()
    ours = tuple(row for row in journal.requests if not row.forced)
    assert limits.PAIRS in numbers(journal).limits
    assert limits.PAIRS not in numbers(replace(journal, requests=ours)).limits


def test_what_is_missing_is_named() -> None:
    journal = synthetic()
    assert numbers(journal, synthetic_profile()).missing == ()
    ours = tuple(row for row in journal.requests if not row.forced)
    found = numbers(replace(journal, requests=ours)).missing
    assert any("always-local" in text for text in found)
    assert any("always-full-exchange" in text for text in found)
    asked = tuple(row for row in journal.requests if row.forced)
    found = numbers(replace(journal, requests=asked)).missing
    assert any("left to the policy" in text for text in found)
    silent = tuple(s for s in journal.samples if s.board == "edge-1")
    found = numbers(replace(journal, samples=silent)).missing
    assert any("No power samples from edge-2" in text for text in found)
    assert any("--profile" in text for text in numbers(without(journal, "samples")).missing)


def test_an_unknown_kind_is_shown_as_it_is() -> None:
    assert limits.setting_label("boards") == "boards"
    assert limits.setting_label("lab") == "emulated lab"
    assert limits.setting_label("<moon>") == "<moon>"
