"""What changed between two runs is found, what did not is not, and both sides' conditions stand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from synthetic_journal import ACTS, SPLIT, synthetic, without, write_journal
from typer.testing import CliRunner

from prism_edge.cli import app
from prism_edge.errors import SettingsError
from prism_edge.report.compare import CHOSEN, compare
from prism_edge.report.compare_page import compare_page
from prism_edge.report.numbers import numbers
from prism_edge.schedule.events import Aim

RUN = CliRunner()
A = numbers(synthetic(ACTS[:2]))
# the first phase answered in 1.3 times the time, by the policy's choice only
SLOWER = replace(ACTS[0], latencies_s=(0.78 * 1.3, 1.47, 2.31))
B = numbers(synthetic((SLOWER, ACTS[1]), seed=8))


def test_what_became_slower_is_seen_and_nothing_else() -> None:
    pairs = {(pair.phase, pair.way): pair for pair in compare(A, B).pairs}
    slower = pairs["link 100 Mbit/s", CHOSEN]
    assert slower.latency is not None
    assert slower.latency.differs
    assert slower.latency.value == pytest.approx(1.3, abs=0.04)
    for key in (("link 100 Mbit/s", "local"), ("link 1 Mbit/s", SPLIT)):
        same = pairs[key].latency
        assert same is not None
        assert not same.differs
        assert same.value == pytest.approx(1, abs=0.04)


def test_a_run_against_itself_is_1_everywhere() -> None:
    found = compare(A, A)
    assert not found.differences
    assert not found.only
    assert found.pairs
    for pair in found.pairs:
        assert pair.latency is not None
        assert pair.latency.value == 1
        assert not pair.latency.differs
        assert pair.energy is not None
        assert pair.energy.value == 1


def test_conditions_and_what_only_one_side_has_are_said() -> None:
    other = numbers(synthetic(ACTS[1:3]), aim=Aim(max_accuracy_drop=0.5))
    found = compare(A, replace(other, version="0.2.0"))
    assert ("prism-edge", "0.1.0", "0.2.0") in found.differences
    aim = ("the policy's aim", "unknown", "least latency, at most 0.5 less accuracy")
    assert aim in found.differences
    sides = {(side, phase) for side, phase, *_ in found.only}
    assert sides == {("A", "link 100 Mbit/s"), ("B", "link 300 Mbit/s")}
    text = compare_page(A, other, found)
    assert "A and B did not run alike" in text
    assert "On one side only" in text
    assert text.count("modelled") > 3


def test_few_values_and_no_power_give_no_interval_and_no_energy() -> None:
    short = replace(ACTS[0], rounds=3)
    bare = numbers(without(synthetic((short,)), "samples"))
    for pair in compare(bare, bare).pairs:
        assert pair.latency is not None
        assert pair.latency.low is None
        assert not pair.latency.differs
        assert pair.energy is None


def test_two_that_share_nothing_are_a_page_that_says_so() -> None:
    found = compare(A, numbers(synthetic(ACTS[2:3])))
    assert not found.pairs
    assert "Nothing was answered in both" in compare_page(A, A, found)


def test_the_command_compares_two_journals(tmp_path: Path) -> None:
    for name, seed in (("a.db", 7), ("b.db", 8)):
        write_journal(tmp_path / name, synthetic(ACTS[:1], seed=seed))
    page, numbers_file = tmp_path / "c.html", tmp_path / "c.json"
    both = [str(tmp_path / "a.db"), str(tmp_path / "b.db")]
    done = RUN.invoke(
        app,
        ["report", "--compare", *both, "--output", str(page), "--json", str(numbers_file)],
    )
    assert done.exit_code == 0, done.output
    assert done.output.split() == [str(page), str(numbers_file)]
    assert json.loads(numbers_file.read_text())["pairs"][0]["latency"]["value"] > 0
    for wrong in (["report", *both], ["report", "--compare", both[0]]):
        assert isinstance(RUN.invoke(app, wrong).exception, SettingsError)
