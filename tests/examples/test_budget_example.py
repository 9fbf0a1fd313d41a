"""From images to choices: what the digits model scores under plans decides which of them are taken.

The tables of time are arithmetic (boards on which sending costs less than computing); the accuracy
is that of the committed model on the committed split.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("sklearn")
from measured import profile
from typer.testing import CliRunner

from prism_edge import tables
from prism_edge.cli import app
from prism_edge.families import load
from prism_edge.families.checkpoint import fingerprint
from prism_edge.schedule.accuracy import worst_drops

EXAMPLE = Path(__file__).parents[2] / "examples" / "digits"
RUN = CliRunner()
PLANS = [f"prism:p=2,l={l},dtype=fp16" for l in (1, 8, 16)]  # noqa: E741


@pytest.fixture(scope="module")
def measured(data: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tables of the digits model, its accuracy evaluated."""
    folder, model = tmp_path_factory.mktemp("budget"), EXAMPLE / "checkpoint"
    _, _, images, labels = data.load_split(0)
    np.savez(folder / "test.npz", pixel_values=images, labels=labels)
    made = profile(load(model).shape, segments=(1, 8, 16), bandwidth_bps=1e9)
    slow = tuple(replace(row, latency_s=20 * row.latency_s - 0.07) for row in made.compute)
    entry = replace(made.models[0], fingerprint=fingerprint(model))
    tables.write(folder / "profile", replace(made, compute=slow, models=(entry,)))
    command = ["evaluate", "--model", str(model), "--name", "net", "--plans", ";".join(PLANS)]
    more = ["--data", str(folder / "test.npz"), "--profile", str(folder / "profile")]
    done = RUN.invoke(app, [*command, *more, "--batch", "60"])
    assert done.exit_code == 0, done.output
    return folder / "profile"


def taken(measured: Path, limit: float | None) -> dict[str, object]:
    budget = [] if limit is None else ["--max-accuracy-drop", str(limit)]
    done = RUN.invoke(app, ["plan", "--profile", str(measured), "--json", *budget])
    assert done.exit_code == 0, done.output
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_choices_change_as_the_table_says(measured: Path) -> None:
    drops = worst_drops(tables.read(measured).accuracy, "net")
    coarse, middle, fine = (drops[plan] for plan in PLANS)
    assert coarse > middle > fine > 0.0106  # 360 images cannot show less than that
    for limit, expected in (
        (None, PLANS[0]),
        (coarse + 1e-9, PLANS[0]),
        (coarse - 1e-9, PLANS[1]),
        (middle - 1e-9, PLANS[2]),
        (fine - 1e-9, "exact"),
        (0.005, "exact"),
    ):
        found = taken(measured, limit)
        by_plan = {item["plan"]: item for item in found["considered"]}  # type: ignore[attr-defined]
        exact = by_plan[found["plan"]]["exact"]
        assert found["plan"] == expected or (expected == "exact" and exact), limit
        out = {plan for plan, item in by_plan.items() if item.get("reason")}
        kept = {plan for plan in PLANS if limit is None or drops[plan] <= limit}
        assert kept.isdisjoint(out)
        assert set(PLANS) - kept <= out
        assert by_plan[PLANS[0]]["accuracy_drop"] == pytest.approx(coarse)
    table = RUN.invoke(app, ["plan", "--profile", str(measured), "--max-accuracy-drop", "0.005"])
    assert "at most 0.005 less accuracy, as measured on test.npz, n=360" in table.stdout
    assert "out: 3 may lose more" in table.stdout
    assert "may lose" in table.stdout
