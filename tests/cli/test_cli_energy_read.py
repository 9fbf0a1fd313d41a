"""``prism-edge energy parse`` and ``rails``: what was recorded, and what a board has."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from prism_edge.cli import app
from prism_edge.errors import EnergyError

DATA = Path(__file__).parents[1] / "data" / "tegrastats"
KEYS = ["ram_used_mb", "ram_total_mb", "cpu", "gr3d_load_pct", "temps_c", "rails_mw"]
CHIP = "sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon3"


def run(*argv: str) -> Result:
    return CliRunner().invoke(app, ["energy", *argv])


def test_every_sample_is_an_object_on_a_line() -> None:
    done = run("parse", str(DATA / "constructed-blank-runs.txt"), "--json")
    assert (done.exit_code, done.stderr) == (0, "")
    (found,) = [json.loads(line) for line in done.stdout.splitlines()]
    assert list(found) == KEYS
    assert found == {
        "ram_used_mb": 775,
        "ram_total_mb": 7620,
        "cpu": [{"load_pct": 1, "freq_mhz": 729}]
        + 3 * [{"load_pct": 0, "freq_mhz": 729}]
        + 2 * [{"load_pct": None, "freq_mhz": None}],
        "gr3d_load_pct": 0,
        "temps_c": {"cpu": 48.468, "soc2": 47.531, "soc0": 48.062, "tj": 49.156},
        "rails_mw": {"VDD_IN": 4761, "VDD_CPU_GPU_CV": 515, "VDD_SOC": 1428},
    }


def test_all_recorded_lines_are_samples_and_only_the_odd_ones_are_told(tmp_path: Path) -> None:
    everything = b"".join(path.read_bytes() for path in sorted(DATA.glob("*.txt")))
    (tmp_path / "log").write_bytes(everything)
    done = run("parse", str(tmp_path / "log"), "--json")
    assert len(done.stdout.splitlines()) == len(everything.splitlines())
    assert [line.partition(" in ")[0] for line in done.stderr.splitlines()] == [
        "not understood: '...'",  # shortened by whoever wrote it down
        "not understood: 'cpu', '[0%,0%,0%,0%]@1912', 'AVP', '5%@115', 'VDE', '0', 'EDP', 'limit'",
    ]


def test_what_is_no_sample_is_counted_and_what_is_not_understood_is_said_once(
    tmp_path: Path,
) -> None:
    lines = b"hello\n\n0.25 RAM 1/2MB x=1\nRAM 1/2MB x=2 \xff\n10-08-2026 04:38:21 RAM 3/4MB\n"
    (tmp_path / "log").write_bytes(lines)
    done = run("parse", str(tmp_path / "log"), "--json")
    assert [json.loads(line)["ram_used_mb"] for line in done.stdout.splitlines()] == [1, 1, 3]
    assert done.stderr == (
        "not understood: 'x=1' in 0.25 RAM 1/2MB x=1\n"
        "not understood: '\N{REPLACEMENT CHARACTER}' in RAM 1/2MB x=2 \N{REPLACEMENT CHARACTER}\n"
        "1 lines without RAM, which are no samples\n"
    )


def test_a_summary_for_people() -> None:
    done = run("parse", str(DATA / "orin-nano-super-jp6.2-sudo.txt"))
    assert done.stdout.splitlines()[:3] == [
        "2 samples",
        "rail, mW              samples   lowest     mean  highest",
        "VDD_IN                      2     5251    10786    16321",
    ]
    quiet = run("parse", str(DATA / "agx-orin-32gb-jp5-nonroot-no-power.txt"))
    assert "no power rails" in quiet.stdout


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = run("parse", str(tmp_path / "none.log"))
    assert isinstance(done.exception, EnergyError)
    assert "none.log: cannot be read: No such file" in str(done.exception)


# --- rails


def orin(root: Path) -> None:
    (root / CHIP).mkdir(parents=True)
    rails = {"VDD_IN": 952, "VDD_CPU_GPU_CV": 103, "VDD_SOC": 280}
    for at, (rail, ma) in enumerate(rails.items(), start=1):
        for name, text in (
            (f"in{at}_label", rail),
            (f"in{at}_input", 5000),
            (f"curr{at}_input", ma),
        ):
            (root / CHIP / name).write_text(f"{text}\n")


def test_the_table_says_total_and_limits_of_every_module() -> None:
    modules = json.loads(run("rails", "--no-here", "--json").stdout)["modules"]
    found = {module["module"]: module for module in modules}
    nano = found["Xavier NX, Orin Nano, Orin NX"]
    assert (nano["total"], nano["rule"]) == (["VDD_IN"], "VDD_IN")
    assert nano["excludes"] == "carrier board, storage, radio, fan, supply losses"
    assert found["AGX Xavier"]["rule"] == "sum of rails"
    assert found["Nano 2 GB"]["rule"] == "none"
    assert all(module["excludes"] for module in modules)


def test_what_this_board_has(tmp_path: Path) -> None:
    orin(tmp_path)
    here = json.loads(run("rails", "--root", str(tmp_path), "--json").stdout)["here"]
    assert here == {
        "source": "sysfs",
        "reasons": {"sysfs": "reads VDD_IN, VDD_CPU_GPU_CV, VDD_SOC"},
        "rails_w": {"VDD_IN": 4.76, "VDD_CPU_GPU_CV": 0.515, "VDD_SOC": 1.4},
        "total_w": 4.76,
        "rule": "VDD_IN",
        "excludes": "carrier board, storage, radio, fan, supply losses",
    }
    shown = run("rails", "--root", str(tmp_path)).stdout
    assert "  total               4.760 W (VDD_IN)\n" in shown
    assert "  excludes         carrier board, storage" in shown


def test_a_board_nobody_knows_has_its_rails_and_a_total_that_is_declared(tmp_path: Path) -> None:
    orin(tmp_path)
    (tmp_path / CHIP / "in1_label").write_text("NEW_IN\n")
    here = json.loads(run("rails", "--root", str(tmp_path), "--json").stdout)["here"]
    assert (here["total_w"], here["excludes"]) == (None, None)
    assert here["rule"].startswith("no known total among the power rails NEW_IN, VDD_CPU_GPU_CV")
    told = ("rails", "--root", str(tmp_path), "--json", "--total", "NEW_IN,VDD_SOC")
    here = json.loads(run(*told).stdout)["here"]
    assert (here["total_w"], here["rule"]) == (6.16, "declared: NEW_IN + VDD_SOC")


def test_a_machine_without_sensors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    shown = run("rails", "--root", str(tmp_path)).stdout
    assert "This board: none\n" in shown
    assert "  tegrastats       not on PATH\n" in shown


def test_a_source_that_fails_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "tegrastats"
    script.write_text(
        "#!/bin/sh\nfor k in 1 2 3 4 5 6; do echo 'RAM 1/2MB CPU [1%@2]'; done\nsleep 9\n"
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    shown = run("rails", "--source", "tegrastats", "--root", str(tmp_path)).stdout
    assert (
        "  board this board: tegrastats: no power rails: run as root or grant read access" in shown
    )
