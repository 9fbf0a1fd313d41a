"""What the numbers of a journal are: by phase, model and batch, each way of answering apart."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from synthetic_journal import ACTS, PRISM, START_S, VOLTAGE, synthetic, without, write_journal

from prism_edge.energy.journal import read
from prism_edge.report.numbers import numbers


@pytest.fixture(scope="module")
def report():  # type: ignore[no-untyped-def]
    return numbers(synthetic())


def test_a_group_per_phase_in_order(report) -> None:  # type: ignore[no-untyped-def]
    assert [group.phase for group in report.groups] == [act.name for act in ACTS]
    assert {(group.model, group.batch) for group in report.groups} == {("vit-b16", 4)}
    for group, act in zip(report.groups, ACTS, strict=True):
        assert group.plans == {act.plan: act.rounds}
        assert group.adaptive.n == act.rounds
        assert group.answered == 3 * act.rounds


def test_speedups_are_those_that_were_put_in(report) -> None:  # type: ignore[no-untyped-def]
    for group, act in zip(report.groups, ACTS, strict=True):
        ours_s, local_s, full_s = act.latencies_s
        assert group.speedup_local.ratio == pytest.approx(local_s / ours_s, rel=0.05)
        if act.boards == 2:
            assert group.speedup_full.ratio == pytest.approx(full_s / ours_s, rel=0.05)
            assert group.speedup_full.low <= group.speedup_full.ratio <= group.speedup_full.high


def test_a_fallback_is_no_example_of_what_ran_in_the_end(report) -> None:  # type: ignore[no-untyped-def]
    killed = report.groups[3]
    # voltage was asked for 7 times, answered locally: neither always-full nor always-local
    assert (killed.always_full.n, killed.always_local.n, killed.adaptive.n) == (0, 7, 7)
    assert killed.speedup_full is None
    assert killed.fallbacks == report.fallback_count == 8
    assert [(f.plan, f.n, f.phases) for f in report.fallbacks] == [
        (VOLTAGE, 7, ("edge-2 killed",)),
        (PRISM, 1, ("edge-2 killed",)),
    ]
    plans = {plan.plan: plan.series.n for plan in report.plans if plan.phase == "edge-2 killed"}
    assert plans == {"local": 13}  # 6 chosen and 7 asked for, without the 8 fallbacks


def test_energy_is_that_of_the_model_with_the_idle_board_in_it(report) -> None:  # type: ignore[no-untyped-def]
    first = report.groups[0]
    local_w = (4.7 + 6 * 0.97) + (4.7 + 6 * 0.0)
    assert first.always_local.energy.mean_w == pytest.approx(local_w, rel=0.03)
    both_w = (4.7 + 6 * 0.97) + (4.7 + 6 * 0.9)
    assert first.adaptive.energy.mean_w == pytest.approx(both_w, rel=0.03)
    assert first.adaptive.energy.energy_j == pytest.approx(both_w * 0.78, rel=0.05)


def test_power_is_called_what_it_is(report) -> None:  # type: ignore[no-untyped-def]
    assert report.power == "modelled"
    assert report.setting == "emulated lab"
    assert report.boards == {"edge-1": "modelled", "edge-2": "modelled"}


def test_models_and_batch_sizes_are_kept_apart() -> None:
    journal = synthetic()
    requests = tuple(
        replace(row, model=("a", "b")[i % 2], batch=1 + i % 3)
        for i, row in enumerate(journal.requests)
    )
    report = numbers(replace(journal, requests=requests))
    keys = [(g.phase, g.model, g.batch) for g in report.groups]
    assert len(keys) == len(set(keys)) == 5 * 6
    assert sum(g.answered for g in report.groups) == len(requests)


def test_lost_requests_are_counted_with_their_errors_and_are_in_no_latency() -> None:
    journal = synthetic()
    first, *rest = journal.requests
    lost = replace(first, ok=False, error="the engine failed twice", latency_s=None)
    report = numbers(replace(journal, requests=(lost, *rest)))
    assert (report.answered, report.failed) == (len(rest), 1)
    assert report.groups[0].failed == 1
    assert report.groups[0].adaptive.n == 23
    assert [(f.plan, f.reason, f.n) for f in report.failures] == [
        (PRISM, "the engine failed twice", 1)
    ]
    unsaid = numbers(replace(journal, requests=(replace(lost, error=None), *rest)))
    assert unsaid.failures[0].reason == "no error recorded"


def test_times_count_from_the_start_of_the_run(report) -> None:  # type: ignore[no-untyped-def]
    assert report.started == "2026-09-21 14:13:20 UTC"
    assert report.phases[0].start_s == pytest.approx(1.0)
    assert report.phases[-1].stop_s == pytest.approx(report.duration_s)
    assert report.batches[0].t_s == pytest.approx(synthetic().requests[0].start_s - START_S)
    assert {batch.phase for batch in report.batches} == set(range(5))
    assert report.batches[0].predicted_s == pytest.approx(0.78 * 0.97, abs=1e-3)


def test_an_empty_journal_has_numbers_too() -> None:
    report = numbers(without(synthetic(), "samples", "requests", "events"))
    assert (report.answered, report.failed, report.groups, report.traces) == (0, 0, (), ())
    assert report.started is None
    assert report.boards == {"edge-1": "modelled", "edge-2": "modelled"}
    assert len(report.missing) == 4
    bare = numbers(replace(without(synthetic(), "samples", "requests", "events"), meta={}))
    assert (bare.cluster, bare.power, bare.boards) == ("unknown", "none", {})


@pytest.mark.parametrize("part", ["samples", "requests", "events"])
def test_a_partial_journal_says_what_is_missing(part: str) -> None:
    full, partial = numbers(synthetic()), numbers(without(synthetic(), part))
    said = {
        "samples": "No power samples",
        "requests": "no request",
        "events": "No phases are marked",
    }[part]
    assert any(said in sentence for sentence in partial.missing)
    assert not any(said in sentence for sentence in full.missing)
    if part == "samples":
        assert all(g.adaptive.energy.energy_j is None for g in partial.groups)


def test_a_journal_file_gives_the_same_numbers(tmp_path: Path) -> None:
    write_journal(tmp_path / "journal.db", synthetic(ACTS[:1]))
    found = numbers(read(tmp_path / "journal.db"))
    meant = numbers(synthetic(ACTS[:1]))
    assert replace(found, version=meant.version) == meant
