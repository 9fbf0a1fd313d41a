"""MLPerf's LoadGen drives a daemon through the example, and its log calls the result valid."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import checkpoints
import pytest
from twin_daemon import serving

from prism_edge.client.own_daemon import own_daemon

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(
    find_spec("mlperf_loadgen") is None, reason="needs mlcommons-loadgen"
)


def drive(url: str, model: str, out: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            *(sys.executable, str(ROOT / "examples" / "loadgen" / "run.py")),
            *("--url", url, "--model", model, "--seconds", "0.5", "--out", str(out), *options),
        ],
        capture_output=True,
        text=True,
        timeout=110,
    )


@pytest.fixture(scope="module")
def daemon() -> Iterator[str]:
    with serving() as url:
        yield url


SERVER = ("--scenario", "Server", "--rate", "100", "--latency")


@pytest.mark.parametrize("options", [("--scenario", "SingleStream"), (*SERVER, "60")])
def test_the_log_says_valid(daemon: str, tmp_path: Path, options: tuple[str, ...]) -> None:
    done = drive(daemon, "colours", tmp_path, *options)
    assert done.returncode == 0, done.stdout + done.stderr
    summary = (tmp_path / "mlperf_log_summary.txt").read_text()
    assert "Result is : VALID" in summary
    assert f"Scenario : {options[1]}" in summary
    assert "Early stopping satisfied: Yes" in summary


def test_an_impossible_limit_is_not_valid(daemon: str, tmp_path: Path) -> None:
    done = drive(daemon, "colours", tmp_path, *SERVER, "0.000001")
    assert done.returncode == 1
    assert "Result is : INVALID" in done.stdout


def test_a_refusal_is_no_answer(daemon: str, tmp_path: Path) -> None:
    """Requests of 8 MB, of which this daemon takes 1."""
    done = drive(daemon, "words", tmp_path, "--queries", "64", "--tokens", "500000")
    assert done.returncode == 1
    assert "queries without an answer: 413" in done.stdout


def test_a_daemon_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = drive("http://127.0.0.1:1", "m", tmp_path)
    assert done.returncode == 1
    assert "error: http://127.0.0.1:1: " in done.stderr


@pytest.mark.gloo
@pytest.mark.slow
@pytest.mark.parametrize("options", [("--scenario", "SingleStream"), (*SERVER, "60")])
def test_a_real_daemon_is_found_valid(tmp_path: Path, options: tuple[str, ...]) -> None:
    checkpoints.write(tmp_path / "vit", *checkpoints.vit())
    with own_daemon("vit", tmp_path / "vit") as place:
        done = drive(place.url, "vit", tmp_path / "logs", *options)
    assert done.returncode == 0, done.stdout + done.stderr
