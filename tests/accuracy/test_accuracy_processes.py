"""Ranks that are processes score as the simulation does."""

from __future__ import annotations

import json
from pathlib import Path

import checkpoints
import numpy as np
import pytest
from typer.testing import CliRunner

from prism_edge.cli import app
from prism_edge.errors import PlanError

DRAW = np.random.default_rng(0)
RUN = CliRunner()


def command(model: Path, data: Path, *more: str) -> list[str]:
    plans = "prism:p=2,l=1;voltage:p=3;prism:p=3,l=2,dtype=int8"
    fixed = ["--model", str(model), "--data", str(data), "--plans", plans, "--batch", "4"]
    return ["evaluate", *fixed, *more, "--json"]


@pytest.mark.gloo
@pytest.mark.parametrize("family", ["vit", "gpt2"])
def test_three_processes_score_as_one(family: str, tmp_path: Path) -> None:
    if family == "vit":
        model = checkpoints.write(tmp_path / "model", *checkpoints.vit())
        pixels = DRAW.integers(0, 256, (10, 3, 32, 32), dtype=np.uint8)
        np.savez(tmp_path / "a.npz", pixel_values=pixels, labels=DRAW.integers(0, 7, 10))
    else:
        model = checkpoints.write(tmp_path / "model", *checkpoints.gpt2("GPT2LMHeadModel"))
        np.savez(tmp_path / "a.npz", input_ids=DRAW.integers(0, 40, (6, 12)))
    alone, together = (
        RUN.invoke(app, command(model, tmp_path / "a.npz", *more))
        for more in ([], ["--processes", "3"])
    )
    assert alone.exit_code == together.exit_code == 0, together.output
    first, second = json.loads(alone.stdout), json.loads(together.stdout)
    assert len(first) == len(second) > 4
    for mine, theirs in zip(first, second, strict=True):
        assert mine.keys() == theirs.keys()
        for key, value in mine.items():
            wanted = pytest.approx(value, rel=1e-5) if isinstance(value, float) else value
            assert theirs[key] == wanted, (mine, theirs)


def test_a_plan_with_more_ranks_is_refused(tmp_path: Path) -> None:
    model = checkpoints.write(tmp_path / "model", *checkpoints.vit())
    np.savez(tmp_path / "a.npz", pixel_values=np.zeros((2, 3, 32, 32), np.uint8))
    done = RUN.invoke(app, command(model, tmp_path / "a.npz", "--processes", "2"))
    assert isinstance(done.exception, PlanError)
    assert "give 3" in str(done.exception)
