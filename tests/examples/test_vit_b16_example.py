"""The ViT-B/16 maker is quick to say what it is, and never overwrites or half-writes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "examples" / "vit_b16" / "make.py"


def make(directory: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), str(directory)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_complete_directory_is_left_alone(tmp_path: Path) -> None:
    names = ("config.json", "model.safetensors", "preprocessor_config.json")
    for name in names:
        (tmp_path / name).write_text("mine")
    done = make(tmp_path)
    assert done.returncode == 0
    assert "already there" in done.stdout
    assert "random weights: for speed only" in done.stdout
    assert {(tmp_path / name).read_text() for name in names} == {"mine"}


@pytest.mark.slow
def test_writes_a_model_of_the_right_size_twice_the_same(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from safetensors import safe_open

    done = make(tmp_path / "new")
    assert done.returncode == 0, done.stderr
    weights = tmp_path / "new" / "model.safetensors"
    with safe_open(str(weights), "pt") as file:
        count = sum(file.get_tensor(key).numel() for key in file.keys())  # noqa: SIM118
    assert count == 86_567_656  # google/vit-base-patch16-224
    first = weights.read_bytes()
    (tmp_path / "new" / "preprocessor_config.json").unlink()  # a run that was interrupted
    assert make(tmp_path / "new").returncode == 0
    assert weights.read_bytes() == first


def test_an_impossible_directory_is_an_error_without_traceback(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    (tmp_path / "file").write_text("")
    done = make(tmp_path / "file" / "model")
    assert done.returncode == 1
    assert "cannot write the checkpoint" in done.stderr
    assert "Traceback" not in done.stderr
