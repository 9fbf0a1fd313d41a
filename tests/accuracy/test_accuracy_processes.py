"""Ranks that are processes score as the simulation does."""

from __future__ import annotations

import json
from pathlib import Path

import checkpoints
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from prism_edge.cli import app
from prism_edge.errors import PlanError
from prism_edge.families.codebook_file import Fitted, write_codebooks
from prism_edge.tensors.codebook import Codebooks

DRAW = np.random.default_rng(0)
RUN = CliRunner()
TWO = "prism:p=2,l=2;prism:p=2,l=1,dtype=int8;voltage:p=2;astra:p=2,g=4,k=8"
FOUR = f"{TWO};{TWO.replace('p=2', 'p=4')};voltage:p=3"


def made(family: str, directory: Path) -> list[str]:
    """A model with codes, and data."""
    data, vocabulary = directory / "a.npz", {"input_ids": DRAW.integers(0, 40, (6, 12))}
    if family == "vit":
        model = checkpoints.write(directory / "model", *checkpoints.vit())
        pixels = DRAW.integers(0, 256, (10, 3, 32, 32), dtype=np.uint8)
        np.savez(data, pixel_values=pixels, labels=DRAW.integers(0, 7, 10))
    elif family == "bert":
        model = checkpoints.write(directory / "model", *checkpoints.bert())
        np.savez(data, **vocabulary)  # type: ignore[arg-type]
    else:
        model = checkpoints.write(directory / "model", *checkpoints.gpt2("GPT2LMHeadModel"))
        np.savez(data, **vocabulary)  # type: ignore[arg-type]
    codes = torch.randn(2, 4, 8, 4, generator=torch.Generator().manual_seed(0))
    fitted = Fitted(samples=9, seed=0, relative_error=(0.5, 0.5))
    write_codebooks(model, Codebooks(tables=codes, tap="after"), fitted)
    return ["evaluate", "--model", str(model), "--data", str(data), "--batch", "4", "--json"]


@pytest.mark.gloo
@pytest.mark.parametrize(
    ("family", "count", "plans"),
    [("vit", 2, TWO), ("bert", 4, FOUR), ("gpt2", 4, FOUR)],
)
def test_processes_score_as_one(family: str, count: int, plans: str, tmp_path: Path) -> None:
    command = [*made(family, tmp_path), "--plans", plans]
    alone, together = (
        RUN.invoke(app, [*command, *more]) for more in ([], ["--processes", str(count)])
    )
    assert alone.exit_code == together.exit_code == 0, together.output
    first, second = json.loads(alone.stdout), json.loads(together.stdout)
    assert len(first) == len(second) > plans.count(";")
    for mine, theirs in zip(first, second, strict=True):
        assert mine.keys() == theirs.keys()
        for key, value in mine.items():
            wanted = pytest.approx(value, rel=1e-5, abs=1e-9) if isinstance(value, float) else value
            assert theirs[key] == wanted, (mine, theirs)


def test_a_plan_with_more_ranks_is_refused(tmp_path: Path) -> None:
    command = [*made("vit", tmp_path), "--plans", "voltage:p=3"]
    done = RUN.invoke(app, [*command, "--processes", "2"])
    assert isinstance(done.exception, PlanError)
    assert "give 3" in str(done.exception)
