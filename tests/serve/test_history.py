"""The page's memory: bounded whatever happens, percentiles right to 1 %, nothing made up."""

from __future__ import annotations

import json
import random
from typing import Any

import numpy as np
import pytest
from decided import LAB, MODEL, TOKENS

from prism_edge.energy.rows import RequestRow
from prism_edge.energy.sample import Label, Sample
from prism_edge.palette import MARKS
from prism_edge.schedule.cost import costs_of
from prism_edge.schedule.events import Aim
from prism_edge.schedule.policy import Fixed, Menu, decide
from prism_edge.serve.history import BIN_S, BINS, LAST, LONGEST, RECENT_S, STALE_S, History
from prism_edge.tables import read

NOW_S = 10_000.0


def row(**about: Any) -> RequestRow:
    start_s = about.pop("start_s", 50.0)
    return RequestRow(
        **{
            "id": "r",
            "model": "m",
            "batch": 1,
            "plan": "local",
            "why": "so",
            "forced": False,
            "start_s": start_s,
            "stop_s": start_s + 0.25,
            "latency_s": 0.3,
            "ok": True,
            "error": None,
            "wire_bytes": 0,
            **about,
        }
    )


def lost(error: str = "broken") -> RequestRow:
    return row(ok=False, why=None, latency_s=None, wire_bytes=None, error=error)


def sample(power_w: float, board: str = "a", source: Label = "modelled") -> Sample:
    return Sample(board=board, t_s=1.0, power_w=power_w, source=source)


def view(history: History, now_s: float = NOW_S) -> Any:
    """As a page gets it: nothing in it is lost in JSON."""
    found = history.view(now_s)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    return found


def test_without_a_past_nothing_is_made_up() -> None:
    found = view(History(NOW_S - 7))
    recent = {"seconds": 7, "answered": 0, "lost": 0, "p50_s": None, "p95_s": None, "p99_s": None}
    assert found["recent"] == recent
    assert found["over_time"] == found["decisions"] == found["events"] == found["methods"] == []
    assert found["power"] == {}


def test_percentiles_are_those_of_all_latencies_to_one_percent() -> None:
    history, latencies = History(), []
    generator = random.Random(4)
    for k in range(3000):
        latency_s = generator.lognormvariate(-2, 1)
        latencies.append(latency_s)
        history.batch(row(latency_s=latency_s), NOW_S - 280 + 280 * k / 3000)
    found = view(history)["recent"]
    assert found["answered"] == 3000
    for percent in (50, 95, 99):
        exact = np.percentile(latencies, percent, method="inverted_cdf")
        assert found[f"p{percent}_s"] == pytest.approx(exact, rel=0.011)


def test_one_latency_is_every_percentile() -> None:
    history = History()
    history.batch(row(latency_s=0.12), NOW_S)
    for percent in (50, 95, 99):
        assert view(history)["recent"][f"p{percent}_s"] == pytest.approx(0.12, rel=0.011)


def test_a_change_of_plan_is_seen_where_it_happened() -> None:
    history = History()
    for t_s, plan in ((-95, "local"), (-94, "local"), (-45, "prism:p=2"), (-44, "local")):
        history.batch(row(plan=plan), NOW_S + t_s)
    history.batch(lost(), NOW_S - 44)
    found = view(history)
    assert [
        (bin_["t_s"] - NOW_S, bin_["methods"], bin_["lost"]) for bin_ in found["over_time"]
    ] == [
        (-100, {"local": 2}, 0),
        (-50, {"local": 1, "prism": 1}, 1),
    ]
    marks = [(one["method"], one["mark"], one["count"]) for one in found["methods"]]
    assert marks == [("local", MARKS["local"][1], 3), ("prism", MARKS["prism"][1], 1)]


def test_what_is_old_is_forgotten_first_by_the_percentiles_then_by_all() -> None:
    history = History()
    history.batch(row(), NOW_S)
    assert view(history, NOW_S + RECENT_S - BIN_S)["recent"]["answered"] == 1
    assert view(history, NOW_S + RECENT_S + BIN_S)["recent"]["answered"] == 0
    assert len(view(history, NOW_S + RECENT_S + BIN_S)["over_time"]) == 1
    assert view(history, NOW_S + BIN_S * BINS)["over_time"] == []


def test_nothing_grows() -> None:
    history, generator = History(), random.Random(1)
    for k in range(20_000):
        plan = f"{generator.choice(['local', 'split', 'x' * (k % 50)])}:p={k}"
        now_s = NOW_S + 2 * k
        history.decided(f"never answered {k}", Fixed("so"))
        history.batch(row(plan=plan, latency_s=generator.lognormvariate(0, 2)), now_s)
        history.batch(lost("x" * 10_000), now_s)
        history.event("lost", "y" * 10_000, now_s)
        history.sample(sample(1.0), now_s)
    found = view(history, NOW_S + 40_000)
    assert len(found["over_time"]) <= BINS
    assert len(found["power"]["a"]["trace"]) <= BINS
    assert len(found["decisions"]) == len(found["events"]) == LAST
    assert max(len(batch["error"] or "") for batch in found["decisions"]) == LONGEST + 1
    assert len(json.dumps(found)) < 80_000


def test_a_prediction_stands_beside_what_it_predicted_and_nothing_else() -> None:
    decision = decide(Menu(costs_of(read(LAB), MODEL), Aim()), batch=1, tokens=TOKENS)
    assert decision.predicted is not None
    history = History()
    for name in ("kept", "fell back"):
        history.decided(name, decision)
    history.batch(row(id="kept", plan=str(decision.plan)), NOW_S)
    history.batch(row(id="fell back", plan="voltage:p=7"), NOW_S)
    history.batch(row(id="named", forced=True), NOW_S)
    found = {batch["id"]: batch for batch in view(history)["decisions"]}
    assert found["kept"]["predicted_s"] == pytest.approx(decision.predicted.latency_s, rel=1e-3)
    assert found["kept"]["run_s"] == 0.25
    assert found["kept"]["latency_s"] == 0.3
    assert found["fell back"]["predicted_s"] is found["named"]["predicted_s"] is None
    assert found["named"]["forced"] is True


def test_power_is_the_last_reading_and_the_mean_of_each_bin() -> None:
    history = History()
    for t_s, power_w in ((-15, 2.0), (-14, 4.0), (-1, 5.0)):
        history.sample(sample(power_w), NOW_S + t_s)
    history.sample(sample(7.0, "b", "sensor"), NOW_S - STALE_S - 1)
    power = view(history)["power"]
    assert power["a"] == {
        "power_w": 5.0,
        "source": "modelled",
        "trace": [[NOW_S - 20, 3.0], [NOW_S - 10, 5.0]],
    }
    assert power["b"]["power_w"] is None  # it gives none any more; its last one is not now
    assert power["b"]["source"] == "sensor"


def test_what_status_shows_is_what_it_showed() -> None:
    history = History()
    history.batch(row(id="1"), NOW_S)
    history.batch(lost(), NOW_S)
    names = {"id", "model", "batch", "plan", "why", "latency_s", "ok", "error"}
    assert [set(batch) for batch in history.last()] == [names, names]
    assert [batch["ok"] for batch in history.last()] == [False, True]
