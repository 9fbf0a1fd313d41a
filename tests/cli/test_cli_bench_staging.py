"""``prism-edge bench staging``: the table as people and as programs read it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from prism_edge import tables
from prism_edge.cli.bench_staging import readable, summary

SECONDS = {"gloo": (40e-6, 400e-6), "mapped": (20e-6, 900e-6)}


def made() -> tables.Profile:
    """Two paths of an accelerator at two sizes; none of it was measured."""
    return tables.Profile(
        created="now",
        version="0",
        cluster="staging",
        kind="boards",
        boards=(tables.BoardInfo(name="a", device="cuda:0 Test", facts={"torch": "2.1"}),),
        models=(),
        warnings=("board a: something",),
        staging=tuple(
            tables.StagingRow(
                board="a", path=path, direction=way, bytes=size, repeat=0, latency_s=seconds
            )
            for path, by_size in SECONDS.items()
            for way in ("d2h", "h2d")
            for size, seconds in zip((4096, 1 << 20), by_size, strict=True)
        ),
    )


def test_people_see_medians_the_fastest_rule_and_warnings() -> None:
    lines = readable(made()).splitlines()
    ways = ("d2h", "h2d")
    assert lines[0].split() == ["bytes", *(w for p in SECONDS for way in ways for w in (p, way))]
    assert lines[1].split() == ["4,096", "40.0", "40.0", "20.0", "20.0"]
    assert lines[2].split() == ["1,048,576", "400.0", "400.0", "900.0", "900.0"]
    assert lines[3:] == [
        "medians in us on cuda:0 Test, torch 2.1",
        "fastest: mapped:4096,gloo",
        "warning: board a: something",
    ]


def test_programs_see_one_row_per_size_path_and_direction() -> None:
    found = json.loads(json.dumps(summary(made())))
    assert found["rule"] == "mapped:4096,gloo"
    assert len(found["rows"]) == 8
    assert found["rows"][0] == {
        "bytes": 4096,
        "path": "gloo",
        "direction": "d2h",
        "median_s": 40e-6,
    }


@pytest.mark.gloo
def test_the_command_prints_and_keeps_its_table(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "prism_edge", "bench", "staging", "--device", "cpu"]
    argv += ["--board", "here", "--out", str(tmp_path / "t"), "--json"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=100, check=True)
    found = json.loads(done.stdout)
    assert (found["board"], found["device"], found["rule"]) == ("here", "cpu", None)
    assert len(tables.read(tmp_path / "t").staging) == 20 * len(found["rows"])
