"""``prism-edge energy log``, ``window``, ``idle`` and ``export`` as a user runs them."""

from __future__ import annotations

import csv
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from prism_edge.cli import app
from prism_edge.energy.journal import read
from prism_edge.errors import EnergyError

LINE = "RAM 9/99MB (lfb 1x4MB) CPU [1%@729] VDD_IN {}mW/5000mW VDD_SOC 1400mW/1400mW"
TEGRASTATS = """#!{python} -u
import time
print("a first line of nothing")
while True:
    print("{line}")
    time.sleep(0.05)
"""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """10 Hz: 4 W, from 40 to 80 s 9 W."""
    path = tmp_path / "edge-1.log"
    watts = [9 if 400 <= i < 800 else 4 for i in range(1200)]
    path.write_text("\n".join(f"{i / 10} {LINE.format(1000 * w)}" for i, w in enumerate(watts)))
    return path


def run(*argv: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["energy", *map(str, argv)])
    if isinstance(done.exception, EnergyError):
        raise done.exception
    return done.exit_code, done.output


def window(*argv: object) -> dict[str, Any]:
    code, said = run("window", *argv, "--json")
    found: dict[str, Any] = json.loads(said)
    assert code == (1 if found.get("refused") else 0)
    return found


def test_a_window_in_json(log: Path) -> None:
    found = window(log, "--from", 40, "--to", 80, "--idle", 35)
    assert found["energy_j"] == pytest.approx(360.0, rel=0.001)
    assert found["net_j"] == pytest.approx(360.0 - 4 * 40, rel=0.01)
    assert found["mean_w"] == pytest.approx(9.0, rel=0.001)
    assert found["peak_w"] == 9.0
    assert found["samples"] == 400
    assert found["edp_js"] == pytest.approx(40 * found["energy_j"])
    assert found["coverage_pct"] == pytest.approx(100.0)
    assert (found["complete"], found["reliable"], found["refused"]) == (True, True, None)
    assert found["uncertainty"]["step_j"] == pytest.approx(0.04 * 40 / 12**0.5)
    assert (found["rule"], found["sources"]) == ("VDD_IN", {"edge-1": "sensor"})
    assert found["boards"]["edge-1"]["idle"]["refused"] is None


def test_a_window_in_words(log: Path) -> None:
    code, said = run("window", log, "--from", 45, "--to", 46)
    assert code == 0
    assert "9.000 ± 0.023 J" in said
    assert "UNRELIABLE" in said
    assert "outside: carrier board" in said


def test_without_moments_it_is_the_whole_recording(log: Path) -> None:
    assert window(log)["seconds"] == pytest.approx(119.9)


def test_a_window_that_is_not_covered_is_refused_with_exit_1(log: Path) -> None:
    found = window(log, "--from", 100, "--to", 130)
    assert found["refused"] == "edge-1: samples cover 66 % of it; 90 % are needed"
    assert found["energy_j"] is None
    code, said = run("window", log, "--from", 100, "--to", 130)
    assert code == 1
    assert "refused: samples cover 66 %" in said


def test_one_sample_is_no_energy(tmp_path: Path) -> None:
    path = tmp_path / "one.log"
    path.write_text(LINE.format(5000))
    with pytest.raises(EnergyError, match="energy is between two"):
        run("window", path)
    assert window(path, "--from", 0, "--to", 1)["coverage_pct"] == 0.0


def test_several_windows_are_repeats(log: Path) -> None:
    pairs = [("--from", 41 + 5 * i, "--to", 46 + 5 * i) for i in range(6)]
    found = window(log, *(word for pair in pairs for word in pair))
    assert len(found["windows"]) == 6
    assert found["repeats"]["mean_j"] == pytest.approx(45.0)
    assert found["repeats"]["enough"]


@pytest.mark.parametrize(
    ("argv", "why"),
    [
        (["--from", "soon"], "is no moment"),
        (["--from", "5", "--to", "4"], "before it starts"),
        (["--from", "5"] * 2, "a window has one of each"),
        (["--interval", "0"], "above 0"),
        (["--interval", "inf"], "above 0"),
        (["--idle", "-5"], "above 0"),
        (["--to", "nan"], "is not finite"),
        (["--from", "2026-01-01T00:00:00+01:00"], "no zone"),
    ],
)
def test_misuse_is_exit_2(log: Path, argv: list[str], why: str) -> None:
    code, said = run("window", log, *argv)
    assert code == 2, said
    assert why in " ".join(said.replace("│", " ").split())


def test_idle_power(log: Path) -> None:
    code, said = run("idle", log, "--from", 0, "--to", 39, "--json")
    assert code == 0
    found = json.loads(said)
    assert found["boards"]["edge-1"]["idle_w"] == pytest.approx(4.0)
    code, said = run("idle", log, "--from", 0, "--to", 39)
    assert "edge-1 (sensor): 4.000 ± 0.023 W, 390 samples" in said
    assert run("idle", log, "--from", 0, "--to", 1)[0] == 1


def test_what_a_journal_holds_is_not_added_again(tmp_path: Path) -> None:
    assert run("window", a_journal(tmp_path / "j.sqlite"), "--total", "VDD_IN")[0] == 2


def test_idle_power_over_a_gap_that_is_none_by_the_interval(log: Path) -> None:
    lines = log.read_text().splitlines()
    log.write_text("\n".join([*lines[:100], *lines[200:400]]))
    assert run("idle", log, "--from", 0, "--to", 40)[0] == 1
    assert run("idle", log, "--from", 0, "--to", 39, "--interval", 5)[0] == 0


def test_dates_name_moments(tmp_path: Path) -> None:
    path = tmp_path / "dated.log"
    rows = [f"03-01-2026 10:00:{i // 10:02d} {LINE.format(5000)}" for i in range(600)]
    path.write_text("\n".join(rows))
    found = window(path, "--from", "2026-03-01T10:00:10", "--to", "2026-03-01T10:00:20")
    assert found["energy_j"] == pytest.approx(50.0)
    assert found["clock"].startswith("the dates in the file")


def test_a_log_without_times_says_what_is_assumed(tmp_path: Path) -> None:
    path = tmp_path / "plain.log"
    path.write_text("\n".join([LINE.format(5000)] * 100))
    found = window(path, "--from", 10, "--to", 40)
    assert found["energy_j"] == pytest.approx(150.0)
    assert any(note.startswith("times: ASSUMED") for note in found["notes"])
    told = window(path, "--from", 1, "--to", 4, "--interval", 0.1)
    assert told["energy_j"] == pytest.approx(15.0)
    assert not any("ASSUMED" in note for note in told["notes"])


def recorder(tmp_path: Path, *argv: str) -> subprocess.Popen[str]:
    """``energy log`` on a board whose tegrastats prints 5 W twenty times a second."""
    program = tmp_path / "bin" / "tegrastats"
    program.parent.mkdir(exist_ok=True)
    program.write_text(TEGRASTATS.format(python=sys.executable, line=LINE.format(5000)))
    program.chmod(0o755)
    path = f"{program.parent}:{os.environ.get('PATH', os.defpath)}"
    command = [sys.executable, "-m", "prism_edge", "energy", "log", str(tmp_path / "run.sqlite")]
    options = ("--source", "tegrastats", "--board", "edge-1", *argv)
    return subprocess.Popen(
        [*command, *options],
        env={**os.environ, "PATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def samples_in(path: Path) -> int:
    try:
        return len(read(path).samples)
    except Exception:  # it is being made
        return 0


def until_samples(path: Path, count: int) -> None:
    deadline_s = time.monotonic() + 60
    while samples_in(path) < count:
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_board_is_recorded_until_a_signal_and_its_conditions_are_kept(
    tmp_path: Path, number: signal.Signals
) -> None:
    path = tmp_path / "run.sqlite"
    with recorder(tmp_path) as process:
        until_samples(path, 30)
        process.send_signal(number)
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 0, said
    for word in ("kernel", "source       tegrastats", "rule         VDD_IN", "samples in"):
        assert word in said
    meta = read(path).meta
    assert meta["condition.rails"] == "VDD_IN, VDD_SOC"
    assert meta["condition.nominal_hz"] == "10"
    assert float(meta["condition.achieved_hz"]) > 0
    assert (meta["kind"], meta["power.edge-1"]) == ("log", "sensor")
    found = window(path, "--interval", 10)  # a busy machine may be late with lines
    assert found["mean_w"] == pytest.approx(5.0)
    assert found["conditions"]["excludes"].startswith("carrier board")


def test_a_recorder_that_is_killed_again_and_again_leaves_its_samples(tmp_path: Path) -> None:
    path, there = tmp_path / "run.sqlite", 0
    for _ in range(3):
        with recorder(tmp_path) as process:
            until_samples(path, there + 10)
            seen = samples_in(path)
            process.kill()
        there = samples_in(path)
        assert there >= seen


def test_two_recorders_do_not_write_one_file(tmp_path: Path) -> None:
    with recorder(tmp_path) as process:
        until_samples(tmp_path / "run.sqlite", 1)
        with recorder(tmp_path) as other:
            said, _ = other.communicate(timeout=60)
        process.kill()
    assert other.returncode == 1
    assert "another process writes this journal" in said


def test_a_recording_ends_by_itself(tmp_path: Path) -> None:
    seconds, said = 0.75, "gave no sample in this time"
    while "gave no sample in this time" in said:  # a busy machine may need longer for the first
        seconds *= 2
        with recorder(tmp_path, "--seconds", str(seconds)) as process:
            said, _ = process.communicate(timeout=60)
    assert process.returncode == 0, said


@pytest.mark.parametrize("option", ["--seconds", "--interval", "--keep-days"])
def test_a_recording_has_an_end_and_a_rate(tmp_path: Path, option: str) -> None:
    code, said = run("log", tmp_path / "run.sqlite", "--source", "none", option, "nan")
    assert code == 2
    assert f"{option} is above 0" in said


def test_without_a_sensor_nothing_is_recorded(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "sh").symlink_to("/bin/sh")
    command = [sys.executable, "-m", "prism_edge", "energy", "log", str(tmp_path / "run.sqlite")]
    done = subprocess.run(
        [*command, "--source", "tegrastats"],
        env={**os.environ, "PATH": str(tmp_path / "bin")},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert "not on PATH" in done.stderr
    assert not (tmp_path / "run.sqlite").exists()


def a_journal(path: Path) -> Path:
    from prism_edge.energy.journal import EventRow, Journal
    from prism_edge.energy.sample import Sample

    with Journal.open(path, cluster="c", kind="lab", power={"a": "modelled"}) as journal:
        for i in range(3):
            journal.sample(Sample(board="a", t_s=i + 0.5, power_w=4.5, source="modelled"))
        journal.event(EventRow(t_s=1.0, kind="epoch", detail='1 open: "a", b\nc'))
        journal.event(EventRow(t_s=2.0, kind="epoch", detail=None))
    return path


def test_tables_as_csv(tmp_path: Path) -> None:
    code, said = run("export", a_journal(tmp_path / "j.sqlite"), tmp_path / "out")
    assert code == 0
    assert f"{tmp_path / 'out' / 'samples.csv'}: 3 rows" in said
    with (tmp_path / "out" / "samples.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["t_s"]) for row in rows] == [0.5, 1.5, 2.5]
    assert {row["source"] for row in rows} == {"modelled"}
    with (tmp_path / "out" / "events.csv").open(newline="") as file:
        assert [row["detail"] for row in csv.DictReader(file)] == ['1 open: "a", b\nc', ""]
    names = {path.stem for path in (tmp_path / "out").iterdir()}
    assert names == {"samples", "rails", "requests", "events", "decisions"}


def test_tables_as_parquet(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    code, _ = run("export", a_journal(tmp_path / "j.sqlite"), tmp_path, "--format", "parquet")
    assert code == 0
    found = parquet.read_table(tmp_path / "samples.parquet").to_pylist()
    assert found[0] == {"board": "a", "t_s": 0.5, "power_w": 4.5, "source": "modelled"}
    assert [row["detail"] for row in parquet.read_table(tmp_path / "events.parquet").to_pylist()][
        1
    ] is None


def test_without_pyarrow_parquet_is_refused_and_names_what_to_install(tmp_path: Path) -> None:
    """In an interpreter that has none."""
    code = "import sys; sys.modules['pyarrow'] = None\nfrom prism_edge.cli import main; main()"
    journal = a_journal(tmp_path / "j.sqlite")
    argv = ["energy", "export", str(journal), str(tmp_path), "--format", "parquet"]
    done = subprocess.run(
        [sys.executable, "-c", code, *argv], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert "pip install 'prism-edge[parquet]'" in done.stderr


def test_a_journal_of_before_is_exported_without_what_it_lacks(tmp_path: Path) -> None:
    path = a_journal(tmp_path / "j.sqlite")
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE decisions")
        connection.execute("DROP TABLE rails")
    connection.close()
    code, said = run("export", path, tmp_path / "out")
    assert code == 0
    assert "decisions" not in said
