"""The figure marks what nothing beats in both accuracy and bytes, and is one file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import checkpoints
import numpy as np
import pytest
from typer.testing import CliRunner

from prism_edge.accuracy.evaluate import Evaluated
from prism_edge.accuracy.pareto import page, picture, spots
from prism_edge.accuracy.scores import Score
from prism_edge.cli import app
from prism_edge.errors import InputError, SettingsError
from prism_edge.plan import LOCAL, Plan


def evaluated(metric: str, *rows: tuple[str, float, float]) -> list[Evaluated]:
    return [
        Evaluated(
            plan=LOCAL if plan == "local" else Plan.parse(plan),
            scores=(
                Score(metric=metric, value=value, n=90, low=value - 0.02, high=value + 0.02),
                Score(metric="agreement", value=0.5, n=90, low=0.4, high=0.6),
            ),
            wire_bytes=wire_bytes,
        )
        for plan, value, wire_bytes in rows
    ]


FOUND = evaluated(
    "accuracy",
    ("local", 0.97, 0),
    ("prism:p=2,l=1", 0.90, 4e3),
    ("prism:p=2,l=5", 0.95, 2e4),
    ("astra:p=2,g=16", 0.93, 9e3),
    ("astra:p=2,g=4", 0.85, 5e3),
    ("voltage:p=2", 0.97, 4e5),
    ("prism:p=2,l=10", 0.94, 4e4),
)


def test_the_best_are_those_that_nothing_cheaper_equals() -> None:
    metric, shown = spots(FOUND)
    assert metric == "accuracy"
    assert [spot.plan.partition(",dtype")[0] for spot in shown if spot.best] == [
        "prism:p=2,l=1",
        "astra:p=2,g=16",
        "prism:p=2,l=5",
        "voltage:p=2",
    ]
    less = evaluated("perplexity", ("local", 9, 0), ("prism:p=2,l=1", 12, 1), ("voltage:p=2", 9, 5))
    assert [spot.best for spot in spots(less)[1]] == [False, True, True]


def test_a_model_without_scores_has_no_figure() -> None:
    with pytest.raises(InputError, match="local has no score that could be drawn"):
        spots([Evaluated(plan=LOCAL, scores=(), wire_bytes=0)])


def test_the_page_follows_the_readers_colours_and_shows_every_number() -> None:
    text = page("<vit> on digits", FOUND)
    assert "&lt;vit&gt; on digits" in text
    assert "<script" not in text
    assert "prefers-color-scheme:dark" in text
    assert "var(--astra)" in text
    assert text.count('<td class="head">') == len(FOUND)
    assert "0.9300 to 0.9700" in text
    assert picture("vit on digits", FOUND).startswith(b"\x89PNG")


def test_the_command_draws(tmp_path: Path) -> None:
    model = checkpoints.write(tmp_path / "model", *checkpoints.vit())
    np.savez(tmp_path / "a.npz", pixel_values=np.zeros((2, 3, 32, 32), np.uint8))
    fixed = ["evaluate", "--model", str(model), "--data", str(tmp_path / "a.npz")]
    command = [*fixed, "--plans", "prism:p=2,l=1;voltage:p=2", "--plot"]
    for name in ("a.png", "a.html"):
        done = CliRunner().invoke(app, [*command, str(tmp_path / name)])
        assert done.exit_code == 0, done.output
        assert (tmp_path / name).stat().st_size > 5000
    with pytest.raises(SettingsError, match=r"name a \.png or \.html"):
        raise CliRunner().invoke(app, [*command, "a.gif"]).exception or AssertionError


def test_a_missing_matplotlib_is_said_before_anything_is_run(tmp_path: Path) -> None:
    model = checkpoints.write(tmp_path / "model", *checkpoints.vit())
    np.savez(tmp_path / "a.npz", pixel_values=np.zeros((2, 3, 32, 32), np.uint8))
    missing = tmp_path / "first" / "matplotlib"
    missing.mkdir(parents=True)
    (missing / "__init__.py").write_text(
        "raise ModuleNotFoundError('No module named matplotlib', name='matplotlib')"
    )
    command = ["evaluate", "--model", model, "--data", tmp_path / "a.npz", "--plans", "local"]
    done = subprocess.run(
        [sys.executable, "-m", "prism_edge", *command, "--plot", tmp_path / "a.png"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(missing.parent)},
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "needs matplotlib, which is not installed: pip install 'prism-edge[report]'" in (
        done.stderr
    )
