"""``prism-edge bench policy``: a whole small run, and what cannot be asked for."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import checkpoints
import pytest

from prism_edge.cli.bench_policy_table import readable
from prism_edge.cli.bench_table import WIDTH

KEYS = {"regret", "latency_ratio", "energy_ratio", "reaction_requests", "reaction_s"}
KEYS |= {"switches_per_100", "decision_p99_s", "conditions", "prediction", "best_static_exact"}
PRISM = "prism:p=2,l=2,dtype=fp16"
BOARDS = """
[cluster]
name = "two"
kind = "boards"
leader = "edge-1"
[[boards]]
name = "edge-1"
address = "10.0.0.1"
[[boards]]
name = "edge-2"
address = "10.0.0.2"
"""


def command(tmp_path: Path, arguments: Sequence[object]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "prism_edge", "bench", "policy", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "XDG_STATE_HOME": str(tmp_path / "state")},
    )


@pytest.fixture
def model(tmp_path: Path) -> str:
    directory = checkpoints.write(tmp_path / "vit", *checkpoints.vit(num_labels=7))
    return f"v={directory}"


def labs(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "state" / "prism-edge" / "labs").glob("*"))


@pytest.mark.lab
@pytest.mark.gloo
@pytest.mark.timeout(600)
def test_a_small_trace_is_answered_by_everyone(tmp_path: Path, model: str) -> None:
    plans = ["split:p=2", PRISM, "voltage:p=2,dtype=fp32"]
    wanted = [word for plan in plans for word in ("--plan", plan)]
    arguments = ["--model", model, "--requests", 12, "--json", *wanted]
    with command(tmp_path, arguments) as process:
        out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert labs(tmp_path) == []
    said = json.loads(out)
    assert set(said) >= KEYS
    assert set(said["latency_ratio"]) == set(said["energy_ratio"]) == {"local", *plans}
    assert all(value > 0 for value in said["energy_ratio"].values())
    assert len(said["rounds"]) == 12
    changes = len({one["situation"] for one in said["rounds"]}) - 1
    assert len(said["reaction_requests"]["by_change"]) == changes
    assert said["regret_interval"][0] <= said["regret"] <= said["regret_interval"][1]
    for one in said["rounds"]:
        assert one["adaptive"]["plan"] in ("local", *plans)
        assert one["adaptive"]["energy_j"] > 0
        assert one["link_bps"] > 0
        if one["batch"] == 1:
            assert one["static"]["split:p=2"]["plan"] == "local"
    assert said["decision_candidates"] > 4
    assert said["conditions"]["profile"]["link"].startswith("100mbit")
    assert said["conditions"]["energy"].startswith("MODELLED")
    text = readable(said)
    assert max(map(len, text.splitlines())) <= WIDTH
    assert "best static exact plan" in text


@pytest.mark.lab
@pytest.mark.gloo
@pytest.mark.timeout(600)
def test_an_interrupt_shows_what_there_is_and_leaves_no_lab(tmp_path: Path, model: str) -> None:
    process = command(tmp_path, ["--model", model, "--requests", 2000, "--json"])
    process.send_signal(signal.SIGCONT)  # it is alive
    with process:
        assert process.stderr is not None
        while "batch" not in process.stderr.readline().partition(": ")[0]:
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=280)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert 0 < len(json.loads(out)["rounds"]) < 2000
    assert labs(tmp_path) == []


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--requests", "0"], 2, "--requests 0"),
        (["--plan", "local"], 2, "at least one besides local"),
        (["--plan", "warp"], 2, "unknown method 'warp'"),
        (["--rate", "fast"], 2, "rate 'fast'"),
        (["--cluster", "{toml}", "--rate", "1mbit"], 2, "--cluster has its own"),
        (["--cluster", "{toml}"], 2, "links are changed in a lab only"),
        (["--cluster", "{energy}"], 2, "objective = 'energy'; decisions are judged by"),
        (["--model", "w"], 2, "expected NAME=DIR or one of"),
    ],
)
def test_misuse_is_named_before_anything_is_started(
    tmp_path: Path, arguments: list[str], code: int, says: str
) -> None:
    (tmp_path / "cluster.toml").write_text(BOARDS)
    (tmp_path / "energy.toml").write_text(BOARDS + '[policy]\nobjective = "energy"\n')
    files = {"toml": tmp_path / "cluster.toml", "energy": tmp_path / "energy.toml"}
    given = [text.format(**files) for text in arguments]
    if "--model" not in given:
        given += ["--model", f"v={tmp_path}"]
    with command(tmp_path, given) as process:
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (code, ""), err
    assert says in err
    assert "Traceback" not in err
    assert labs(tmp_path) == []
