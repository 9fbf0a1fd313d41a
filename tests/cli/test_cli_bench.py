"""``prism-edge bench engine``: on a cluster that is there, or in a lab that is gone afterwards."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import checkpoints
import pytest

from prism_edge.bench.compare import Row
from prism_edge.bench.engine import Found
from prism_edge.cli.bench_table import WIDTH, readable

Run = Callable[..., tuple[int, str, str]]
CLUSTER = """
[cluster]
name = "two"
kind = "{kind}"
leader = "edge-1"
profiles = "tables"
[[boards]]
name = "edge-1"
address = "127.77.9.1"
[[boards]]
name = "edge-2"
address = "127.77.9.2"
[[models]]
name = "v"
path = "vit"
[link]
rate_bps = 100e6
"""
PRISM = "prism:p=2,l=3,dtype=fp16"


@pytest.fixture
def cluster(tmp_path: Path) -> Path:
    checkpoints.write(tmp_path / "vit", *checkpoints.vit(num_labels=7))
    checkpoints.write(tmp_path / "gpt2", *checkpoints.gpt2())
    (tmp_path / "cluster.toml").write_text(CLUSTER.format(kind="paced"))
    return tmp_path / "cluster.toml"


@pytest.fixture
def labs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the labs of this test are remembered."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "prism-edge" / "labs"


def row(plan: str, **changes: object) -> Row:
    ratios = ("ratio_hf", "ratio_full", "speedup", "efficiency")
    values = {name: 0.97 for key in ratios for name in (key, f"{key}_low", f"{key}_high")}
    return Row(
        **{
            **values,
            "model": "vit-b16",
            "work": "forward",
            "batch": 4,
            "tokens": 197,
            "rate": "100mbit",
            "boards": 2,
            "plan": plan,
            "latency_s": 12.3456789,
            "latency_low_s": 12.0,
            "latency_high_s": 13.0,
            "bound_s": 11.5,
            "bound_speedup": 1.9,
            "wire_bytes": 26_013_696,
            "syncs": 11,
            "memory_peak_bytes": (700 << 20, 650 << 20),
            "weights_bytes": 330 << 20,
            "attention_kernel": "flash",
            **changes,
        }
    )


def test_the_table_fits_and_says_what_it_is() -> None:
    long = f"prism:p=2,l={'/'.join(['16'] * 12)},dtype=fp16,tap=before,share=100/97"
    local = {"wire_bytes": 0, "speedup_low": 1.0, "speedup_high": 1.0}
    found = Found(
        rows=[
            row("hugging-face", wire_bytes=None, syncs=None, speedup=None, efficiency=None),
            row("local", **local),
            row("split+prism:p=2,l=10,dtype=fp16"),
            row(long, attention_kernel="math"),
            row("local", batch=8),
        ],
        conditions={
            "emulated": True,
            "load_average": "0.1 before, 0.2 after",
            "models": {"a": "x " * 80, "b": "y"},
            "seed": 0,
        },
        skipped=["vit-b16, batch 1: no"],
    )
    text = readable(found)
    assert max(map(len, text.splitlines())) <= WIDTH == 120
    lines = text.splitlines()
    assert lines[0] == "vit-b16, forward: batch 4, 197 tokens"
    assert next(line for line in lines if line.startswith("split+prism")).split() == [
        *("split+prism:p=2,l=10,dtype=fp16", "12345.7", "0.97", "[0.97,", "0.97]", "0.97"),
        *("[0.97,", "0.97]", "0.970", "[0.970,", "0.970]", "26.01", "MB", "11"),
    ]
    assert lines[lines.index(long) + 1].startswith("   ")
    assert "vit-b16, forward: batch 8, 197 tokens" in lines
    assert "650 MiB" not in text
    assert "700 + 650" in text
    assert "EMULATED BOARDS" in text
    assert "not measured: vit-b16, batch 1: no" in lines
    assert any(line.startswith("attention kernel: flash; prism:p=2") for line in lines)
    assert lines[-1] == f"{'seed':15}  0"


def test_boards_are_not_called_emulated() -> None:
    assert "EMULATED" not in readable(Found(rows=[row("local")], conditions={"emulated": False}))


@pytest.mark.gloo
@pytest.mark.timeout(600)
def test_a_cluster_that_is_there_is_measured(run: Run, cluster: Path) -> None:
    code, out, err = run(
        *("bench", "engine", "--cluster", cluster, "--batches", "1,3", "--repeats", 2),
        *("--plan", "split:p=2", "--plan", PRISM, "--plan", "split:p=3"),
    )
    assert code == 0, err
    assert "v, forward: batch 3, 17 tokens" in out
    assert "not measured: v, batch 1: plan split:p=2: a batch of 1 leaves boards" in out
    assert "not measured: v, batch 3: plan split:p=3: 3 ranks, but 2 board(s)" in out
    assert "EMULATED BOARDS" in out
    assert " %  " in err  # progress, on stderr only
    assert " %  " not in out


@pytest.mark.lab
@pytest.mark.gloo
@pytest.mark.timeout(600)
def test_a_lab_is_made_measured_and_removed(run: Run, cluster: Path, labs: Path) -> None:
    at = cluster.parent
    code, out, err = run(
        *("bench", "engine", "--models", f"v={at / 'vit'},g={at / 'gpt2'}", "--rate", "50mbit"),
        *("--batches", "2", "--tokens", "11", "--repeats", 2, "--json"),
        *("--plan", PRISM, "--plan", "voltage:p=2", "--plan", "split+prism:p=2,l=3"),
    )
    assert code == 0, err
    assert list(labs.glob("*")) == []
    said = json.loads(out)
    assert set(said) == {"rows", "conditions"}
    assert len(said["rows"]) == 2 * 5 - 1
    for item in said["rows"]:
        assert set(item) == {field.name for field in fields(Row)}
        assert (item["rate"], item["boards"], item["batch"]) == ("50mbit", 2, 2)
        assert item["latency_low_s"] <= item["latency_s"] <= item["latency_high_s"]
        assert item["ratio_hf"] > 0
        assert item["attention_kernel"] == "flash"
        alone = item["plan"] in ("hugging-face", "local")
        assert len(item["memory_peak_bytes"]) == (1 if alone else 2)
        assert (item["efficiency"] is None) == alone
        assert bool(item["wire_bytes"]) == (not alone)
    plans = {(item["model"], item["plan"]): item for item in said["rows"]}
    assert plans["v", "local"]["tokens"] == 17
    assert plans["g", "local"]["tokens"] == 11
    assert plans["g", "local"]["speedup"] == plans["v", "voltage:p=2,dtype=fp32"]["ratio_full"] == 1
    assert plans["v", PRISM]["syncs"] == 1
    assert plans["v", "split+prism:p=2,l=3,dtype=fp32"]["syncs"] == 0
    assert said["conditions"]["link"].startswith("50mbit")
    assert [item["work"] for item in (plans["v", PRISM], plans["g", PRISM])] == [
        "forward",
        "prefill",
    ]
    (skipped,) = said["conditions"]["skipped"]
    assert skipped.startswith("g, batch 2: plan split+prism")


@pytest.mark.lab
@pytest.mark.gloo
@pytest.mark.timeout(600)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_no_lab(number: signal.Signals, cluster: Path, labs: Path) -> None:
    command = [sys.executable, "-m", "prism_edge", "bench", "engine", "--json"]
    command += ["--models", f"v={cluster.parent / 'vit'}"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ)
    with process:
        assert process.stderr is not None
        assert "v: loading" in process.stderr.readline()
        assert len(list(labs.glob("*/state.json"))) == 1
        process.send_signal(number)
        _, err = process.communicate(timeout=280)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert list(labs.glob("*")) == []


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--cluster", "{boards}"], "no ssh in cluster.toml"),
        (["--cluster", "{toml}", "--rate", "1mbit"], "--cluster has its own"),
        (["--cluster", "{toml}", "--plan", "warp"], "unknown method 'warp'"),
        (["--cluster", "{toml}", "--models", "w"], "expected NAME=DIR or one of v, vit-b16"),
        (["--models", "v={dir}/vit", "--rate", "fast"], "fast"),
        (["--models", "v={dir}/vit", "--repeats", "0"], "--repeats 0"),
        (["--models", "v={dir}/vit", "--batches", "1,x"], "1,x"),
    ],
)
def test_misuse_is_named_before_anything_is_started(
    run: Run, cluster: Path, labs: Path, arguments: list[str], expected: str
) -> None:
    boards = cluster.parent / "boards.toml"
    boards.write_text(CLUSTER.format(kind="boards"))
    places = {"dir": cluster.parent, "toml": cluster, "boards": boards}
    code, out, err = run("bench", "engine", *(text.format(**places) for text in arguments))
    assert (code, out) == (2, "")
    assert expected in err
    assert "Traceback" not in err
    assert list(labs.glob("*")) == []


@pytest.mark.gloo
def test_a_model_that_is_none_is_named(run: Run, cluster: Path) -> None:
    missing = f"v={cluster.parent / 'none'}"
    code, out, err = run("bench", "engine", "--cluster", cluster, "--models", missing)
    assert (code, out) == (1, "")
    assert "board edge-1: transformers cannot load" in err
    assert "does not exist" in err
