"""A profile that is killed at any moment and resumed is one that was never killed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import checkpoints
import pytest
from measured import profile

from prism_edge import tables
from prism_edge.tables import Profile
from prism_edge.tables.log import LOG, read_log
from prism_edge.tables.rows import TABLES, Row, identity

CLUSTER = """
[cluster]
name = "one"
kind = "paced"
leader = "edge-1"
profiles = "tables"
[[boards]]
name = "edge-1"
address = "127.77.9.1"
power = "none"
[[models]]
name = "v"
path = "vit"
"""
KILLS = 10
SLOW = {"hidden_size": 128, "intermediate_size": 512, "num_hidden_layers": 12}  # a pass: 10 ms
ROUNDS = 4  # of compute cells; what is beyond depends on noise


def start(cluster: Path, out: Path, *options: str) -> subprocess.Popen[bytes]:
    argv = [sys.executable, "-m", "prism_edge", "profile", "--cluster", str(cluster)]
    argv += ["--batches", "1,2,3,4", "--l", "2", "--out", str(out), *options]
    return subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def finish(process: subprocess.Popen[bytes]) -> str:
    _, said = process.communicate()
    assert process.returncode == 0, said.decode()
    return said.decode()


def kill_at(process: subprocess.Popen[bytes], log: Path, more_bytes: int, later_s: float) -> None:
    """SIGKILL once the log has grown by so much, and a little later; or never, if it ends first."""
    before = log.stat().st_size if log.exists() else 0
    while process.poll() is None:
        if (log.stat().st_size if log.exists() else 0) >= before + more_bytes:
            break
        time.sleep(0.001)
    time.sleep(later_s)
    process.kill()
    process.communicate()


def rows(profile: Profile) -> set[Row]:
    return {row for table in TABLES for row in getattr(profile, table)}


def structure(profile: Profile) -> set[tuple[object, ...]]:
    """What must be there in any run: which cells, and which repeats of each."""
    return {
        (table, *identity(row))
        for table in TABLES
        for row in getattr(profile, table)
        if table != "compute" or row.repeat < 100 * ROUNDS
    }


@pytest.mark.gloo
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_ten_kills_lose_nothing_and_leave_no_trace(tmp_path: Path) -> None:
    checkpoints.write(tmp_path / "vit", *checkpoints.vit(**SLOW))
    cluster, out = tmp_path / "cluster.toml", tmp_path / "out"
    cluster.write_text(CLUSTER)
    finish(start(cluster, tmp_path / "whole"))
    whole = tables.read(tmp_path / "whole")
    size = 4 * sum((tmp_path / "whole" / f"{table}.csv").stat().st_size for table in TABLES)

    source = random.Random(17)
    kept: set[Row] = set()
    for _ in range(KILLS):
        process = start(cluster, out, "--resume")
        kill_at(process, out / LOG, source.randrange(size // 24), source.random() / 20)
        log = read_log(out)
        now = rows(tables.read(out)) if (out / "profile.toml").exists() else set()
        now |= rows(log.profile) if log is not None else set()
        assert kept <= now
        kept = now
    assert kept, "every kill came before the first cell; nothing was tried"
    finish(start(cluster, out, "--resume"))

    found = tables.read(out)
    assert not (out / LOG).exists()
    assert kept <= rows(found)
    assert structure(found) == structure(whole)
    assert not any("not finished" in text for text in found.warnings)


def test_control_a_lost_repeat_would_be_seen() -> None:
    measured = profile(batches=(1,))
    without = replace(measured, compute=measured.compute[1:])
    assert structure(measured) != structure(without)


@pytest.mark.gloo
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order_and_says_how_to_go_on(tmp_path: Path, number: int) -> None:
    checkpoints.write(tmp_path / "vit", *checkpoints.vit(**SLOW))
    cluster, out = tmp_path / "cluster.toml", tmp_path / "out"
    cluster.write_text(CLUSTER)
    process = start(cluster, out, "--batches", "1,2,4,8,16,32,64,128")  # minutes
    while process.poll() is None and not ((log := read_log(out)) and log.keys):
        time.sleep(0.005)
    os.kill(process.pid, number)
    _, said = process.communicate()
    assert process.returncode == 1
    *_, last = said.decode().splitlines()
    assert last.startswith(
        "error: not finished: interrupted; to go on: prism-edge profile --cluster"
    )
    assert last.endswith(" --resume")
    assert "Traceback" not in said.decode()
    assert tables.read(out).staging
    assert read_log(out) is not None
