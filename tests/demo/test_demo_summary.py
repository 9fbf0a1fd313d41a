"""The closing table counts what the client saw, and nothing else."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from prism_edge.demo.phases import DIGITS, FULL, SPEED
from prism_edge.demo.report import accuracy_rows
from prism_edge.demo.show import show
from prism_edge.demo.summary import accuracy, lines, lost


def answered(latency_s: float, plan: str | None, ran: str, batch: int = 1) -> dict[str, Any]:
    return {
        "model": SPEED,
        "batch": batch,
        "plan": plan,
        "ok": True,
        "ran": ran,
        "latency_s": latency_s,
        "right": None,
    }


def refused(plan: str | None = None) -> dict[str, Any]:
    return {"model": SPEED, "batch": 1, "plan": plan, "ok": False, "error": "why"}


def read(plan: str | None, right: int) -> dict[str, Any]:
    row = answered(0.1, plan, plan or "local", batch=8)
    return {**row, "model": DIGITS, "right": right}


RESULTS = {
    "fast": [
        answered(0.2, None, "split:p=2"),
        answered(0.4, None, "local"),
        answered(0.3, None, "split:p=2"),
        answered(0.5, "local", "local"),
        answered(1.5, FULL, FULL),
        answered(9.0, None, "local", batch=4),
    ],
    "lossy": [answered(0.2, None, "local"), refused()],
    "digits": [read(None, 8), read(None, 7), read("local", 6)],
}


def test_medians_are_by_phase_batch_and_plan():
    fast = lines(RESULTS)[0]
    assert (fast.phase, fast.batch, fast.requests, fast.lost) == ("fast", 1, 5, 0)
    assert (fast.adaptive_s, fast.local_s, fast.full_s) == (0.3, 0.5, 1.5)
    assert fast.plans == "split x2, local x1"


def test_what_was_not_asked_is_none_and_not_zero():
    other = lines(RESULTS)[1]
    assert (other.batch, other.local_s, other.full_s) == (4, None, None)


def test_a_request_without_an_answer_is_lost_and_has_no_latency():
    lossy = lines(RESULTS)[2]
    assert (lossy.requests, lossy.lost, lossy.adaptive_s) == (2, 1, 0.2)
    assert lost(RESULTS) == 1
    assert lost({"fast": RESULTS["fast"]}) == 0


def test_accuracy_counts_the_trained_model_only():
    assert accuracy(RESULTS) == {None: (15, 16), "local": (6, 8)}
    assert accuracy({"fast": RESULTS["fast"]}) == {}


def test_the_table_says_what_is_modelled_and_what_was_lost():
    console = Console(record=True, width=150, force_terminal=False)
    with console.capture() as shown:
        show(console, RESULTS, {("fast", 1): 12.34})
    text = shown.get()
    assert "12.3 J" in text
    assert "modelled" in text
    assert "emulated" in text
    assert "requests lost: 1" in text
    assert "93.8 %" in text


def test_accuracy_rows_are_of_named_plans_only():
    (row,) = accuracy_rows(RESULTS)
    assert (row.plan, row.value, row.n, row.metric) == ("local", 0.75, 8, "accuracy")
    assert row.ci_low < row.value < row.ci_high
