"""``prism-edge finetune`` leaves a model directory; killed, it goes on to the same one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import checkpoints
import numpy as np
import pytest

from prism_edge.families import load
from prism_edge.families.codebook_file import list_codebooks, read_codebooks

Run = Callable[..., tuple[int, str, str]]
PLANS = "prism:p=2..3,l=1..2,dtype=fp32|int8;astra:p=2,g=4,k=8"


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = checkpoints.write(tmp_path_factory.mktemp("models") / "vit", *checkpoints.vit())
    (directory / "preprocessor_config.json").write_text("{}")
    return directory


@pytest.fixture(scope="module")
def pixels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "in.npz"
    images = np.random.default_rng(0).integers(0, 256, (40, 3, 32, 32), np.uint8)
    np.savez(path, pixel_values=images)
    return path


def command(vit: Path, pixels: Path, out: Path, *more: object) -> list[object]:
    options = ["finetune", "--model", vit, "--data", pixels, "--plans", PLANS, "--out", out]
    return [*options, "--batch", 8, "--rate", "1e-3", "--every", 4, *more]


def content(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def start(*arguments: object) -> subprocess.Popen[str]:
    argv = [sys.executable, "-m", "prism_edge", *map(str, arguments)]
    return subprocess.Popen(
        argv,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def test_a_model_directory_is_left_that_says_what_it_is_for(
    run: Run, vit: Path, pixels: Path, tmp_path: Path
) -> None:
    asked = command(vit, pixels, tmp_path / "out", "--steps", 8, "--seed", 5)
    code, out, err = run(*asked, "--json")
    assert code == 0, err
    said = json.loads(out)
    assert said == json.loads((tmp_path / "out" / "finetuned.json").read_text())
    assert (said["plans"], said["goal"], said["seed"]) == (PLANS, "exact", 5)
    assert said["steps_done"] == 8
    assert said["held_loss"] <= said["held_loss_before"]
    assert set(content(tmp_path / "out")) == {
        "config.json",
        "preprocessor_config.json",
        "model.safetensors",
        "astra-g4-k8.safetensors",
        "finetuned.json",
    }
    assert read_codebooks(tmp_path / "out", 4, 8).blocks == len(said["codes"]["g=4,k=8"]) == 2
    assert list_codebooks(vit) == []
    assert load(tmp_path / "out").shape == load(vit).shape
    code, _, err = run(*asked)
    assert code == 2
    assert "holds files already" in err


@pytest.mark.slow
def test_killed_and_gone_on_is_never_killed(vit: Path, pixels: Path, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    more = ("--steps", 32, "--patience", 60)
    finish(start(*command(vit, pixels, whole, *more)))
    process = start(*command(vit, pixels, killed, *more))
    wait_for(process, lambda: steps_done(killed) >= 8)
    process.kill()
    process.communicate()
    if process.returncode:  # else it was faster than we looked
        finish(start(*command(vit, pixels, killed, *more)))
    assert content(killed) == content(whole)


@pytest.mark.slow
def test_ctrl_c_keeps_what_there_is_and_the_same_command_goes_on(
    run: Run, vit: Path, pixels: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    # more steps than anybody waits for
    endless = command(vit, pixels, out, "--steps", 10**6, "--patience", 10**6)
    process = start(*endless)
    wait_for(process, lambda: steps_done(out) >= 0)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130
    assert "the same command goes on" in err
    assert load(out).shape == load(vit).shape
    assert (out / "finetune.state").exists()
    code, _, err = run(*command(vit, pixels, out, "--steps", 8))
    assert code == 2
    assert "a run with other patience, steps is unfinished there" in err
    (out / "finetune.state").write_bytes(b"broken")
    code, _, err = run(*endless)
    assert code == 1
    assert "finetune.state: cannot be read" in err


def finish(process: subprocess.Popen[str]) -> None:
    _, err = process.communicate()
    assert process.returncode == 0, err


def steps_done(out: Path) -> int:
    """-1 before anything was kept."""
    about = out / "finetuned.json"
    return int(json.loads(about.read_text())["steps_done"]) if about.exists() else -1


def wait_for(process: subprocess.Popen[str], there: Callable[[], bool]) -> None:
    while not there() and process.poll() is None:
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("more", "code", "said"),
    [
        (("--loss", "best"), 2, "allowed are labels and exact"),
        (("--loss", "labels"), 1, "--loss exact"),
        (("--plans", "prism:p=2,l=99"), 2, "at most l="),
        (("--limit", "5"), 1, "at least 10 are needed"),
        (("--model", "nowhere"), 1, "model directory nowhere does not exist"),
        (("--data", "nowhere.npz"), 1, "no such file"),
        (("--out", "/dev/null/x"), 2, "cannot be made"),
    ],
)
def test_what_cannot_be_trained_is_refused(
    more: tuple[str, str], code: int, said: str, run: Run, vit: Path, pixels: Path, tmp_path: Path
) -> None:
    found, _, err = run(*command(vit, pixels, tmp_path / "out", *more))
    assert (found, said in err) == (code, True), err
