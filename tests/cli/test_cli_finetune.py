"""``prism-edge finetune`` leaves a model directory; killed, it goes on to the same one."""

from __future__ import annotations

import json
import os
import random
import resource
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


def small_files_only() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (80_000, 80_000))


def start(*arguments: object, before: Callable[[], None] | None = None) -> subprocess.Popen[str]:
    argv = [sys.executable, "-m", "prism_edge", *map(str, arguments)]
    return subprocess.Popen(
        argv,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        preexec_fn=before,
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
@pytest.mark.timeout(600)
def test_killed_and_gone_on_is_never_killed(vit: Path, pixels: Path, tmp_path: Path) -> None:
    """After it began, at some step, and in the middle of writing its state."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    more = ("--steps", 32, "--patience", 60)
    finish(start(*command(vit, pixels, whole, *more)))
    killed.mkdir()
    (killed / "finetune.state.partial").write_bytes(b"as after a kill while it began")
    drawn = random.Random(0)
    for moment in (-1, drawn.randrange(4, 12), drawn.randrange(12, 24)):
        process = start(*command(vit, pixels, killed, *more))
        wait_for(process, lambda: state_of(killed) and steps_done(killed) >= moment)  # noqa: B023
        if moment > 0:
            torn = within_a_write(process, killed / "finetune.state.partial")
        process.kill()
        process.communicate()
    if state_of(killed):  # else it was faster than we looked
        (killed / "finetune.state.partial").unlink(missing_ok=True)
        (killed / "finetune.state.partial").write_bytes(torn)
        (killed / "model.safetensors.partial").write_bytes(torn)
        finish(start(*command(vit, pixels, killed, *more)))
    assert content(killed) == content(whole)


def within_a_write(process: subprocess.Popen[str], partial: Path) -> bytes:
    """It has begun to write that file and cannot end it, since nobody reads on."""
    while True:
        try:
            os.mkfifo(partial)
            break
        except FileExistsError:  # just being written
            time.sleep(0.001)
    reader, read = os.open(partial, os.O_RDONLY | os.O_NONBLOCK), b""
    while not read and process.poll() is None:
        try:
            read = os.read(reader, 1000)
        except BlockingIOError:
            time.sleep(0.001)
    process.kill()
    os.close(reader)
    partial.unlink(missing_ok=True)  # if it had ended before we came, nobody else would
    return read


@pytest.mark.slow
@pytest.mark.timeout(600)
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
    assert "another run is unfinished there (patience 1000000, now 5; steps 1000000, now 8)" in err
    (tmp_path / "other").mkdir()
    other = tmp_path / "other" / "in.npz"
    np.savez(other, pixel_values=np.zeros((40, 3, 32, 32), np.uint8))
    code, _, err = run(*command(vit, other, out, "--steps", 10**6, "--patience", 10**6))
    assert code == 2
    assert "another run is unfinished there (data 'in.npz" in err
    before = (out / "finetune.state").read_bytes()
    for broken in (b"broken", before[:-1000]):
        (out / "finetune.state").write_bytes(broken)
        code, _, err = run(*endless)
        assert code == 1
        assert "finetune.state: is damaged" in err
        assert err.count("\n") == 1
    assert load(out).shape == load(vit).shape  # nothing was lost


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_full_disk_keeps_what_there_was(
    run: Run, vit: Path, pixels: Path, tmp_path: Path
) -> None:
    """As full as a limit on the size of files makes it: that of the state is met after the first
    steps, when it holds the optimiser's moments too."""
    out, more = tmp_path / "out", ("--steps", 12, "--patience", 60)
    full = start(*command(vit, pixels, out, *more), before=small_files_only)
    _, err = full.communicate()
    assert full.returncode == 1
    assert "finetune.state: cannot be written (File too large); what was there is whole" in err
    assert not list(out.glob("*.partial"))
    code, _, err = run(*command(vit, pixels, out, *more))
    assert code == 0, err


def finish(process: subprocess.Popen[str]) -> None:
    _, err = process.communicate()
    assert process.returncode == 0, err


def state_of(out: Path) -> bool:
    return (out / "finetune.state").exists()


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
