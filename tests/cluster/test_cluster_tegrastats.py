"""The emulated tegrastats: its model, its lines, and the program as a program."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from prism_edge.cluster import tegrastats
from prism_edge.cluster.tegrastats import (
    BUSY_W,
    IDLE_W,
    Average,
    Memory,
    parse_meminfo,
    rails_mw,
    render,
)
from prism_edge.energy.tegrastats import parse

ARGV = (sys.executable, "-m", "prism_edge.cluster.tegrastats", "--board-by", "marker")
MEMORY = Memory(ram_used_mb=1200, ram_total_mb=7620, swap_used_mb=3, swap_total_mb=3810)


def line(utilisation: float) -> str:
    rails = rails_mw(utilisation)
    return render(
        date="11-20-2026 22:00:00",
        memory=MEMORY,
        utilisation=utilisation,
        rails=rails,
        averages=Average().add(rails),
    )


def test_the_model_is_a_constant_and_a_term_in_utilisation() -> None:
    assert rails_mw(0.0)["VDD_IN"] == IDLE_W * 1e3 == 4700
    assert rails_mw(1.0)["VDD_IN"] == (IDLE_W + BUSY_W) * 1e3 == 10700
    assert rails_mw(0.25)["VDD_IN"] == 6200


@pytest.mark.parametrize("utilisation", [0.0, 0.3, 1.0, 4.0])
def test_the_total_contains_the_two_rails_below_it(utilisation: float) -> None:
    rails = rails_mw(utilisation)
    assert list(rails) == ["VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"]
    assert rails["VDD_IN"] > rails["VDD_CPU_GPU_CV"] + rails["VDD_SOC"] > 0


def test_a_line_is_what_our_own_parser_reads() -> None:
    reading = parse(line(0.5))
    assert reading is not None
    assert (reading.ram_used_mb, reading.ram_total_mb) == (1200, 7620)
    assert reading.rails_mw == rails_mw(0.5)
    assert [core.load_pct for core in reading.cpu] == [50, None, None, None, None, None]
    assert reading.gr3d_load_pct == 0
    assert set(reading.temps_c) == {"cpu", "soc0", "soc1", "soc2", "gpu", "tj"}


def test_a_line_has_the_fields_of_a_recorded_one_in_their_order() -> None:
    """Compared with a public line of an Orin Nano under JetPack 6, without root."""
    recorded = (
        "04-27-2026 14:59:41 RAM 775/7620MB (lfb 3x4MB) SWAP 0/3810MB (cached 0MB) "
        "CPU [1%@729,0%@729,0%@729,0%@729,0%@729,0%@729] GR3D_FREQ 0% cpu@48.468C "
        "soc2@47.531C soc0@48.062C gpu@48.562C tj@49.156C soc1@49.156C VDD_IN 4761mW/4778mW "
        "VDD_CPU_GPU_CV 515mW/501mW VDD_SOC 1428mW/1428mW "
    )

    def names(text: str) -> list[str]:
        return [
            word.partition("@")[0] for word in text.split() if word[0].isalpha() and word != "off"
        ]

    assert names(line(0.1)) == names(recorded)


def test_the_average_runs_from_the_start() -> None:
    average = Average()
    assert average.add({"VDD_IN": 4165}) == {"VDD_IN": 4165}
    assert average.add({"VDD_IN": 4923}) == {"VDD_IN": 4544}
    assert average.add({"VDD_IN": 4544}) == {"VDD_IN": 4544}


def test_memory_is_read_with_and_without_swap() -> None:
    text = "MemTotal: 8192 kB\nMemFree: 1 kB\nMemAvailable: 2048 kB\nHugePages_Total: 0\n"
    without = Memory(ram_used_mb=6, ram_total_mb=8, swap_used_mb=0, swap_total_mb=0)
    assert parse_meminfo(text) == without
    swap = parse_meminfo(text + "SwapTotal: 4096 kB\nSwapFree: 1024 kB\n")
    assert (swap.swap_used_mb, swap.swap_total_mb) == (3, 4)


def start(*options: str, marker: str = "t/edge-1") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*ARGV, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PRISM_EDGE_LAB": marker},
    )


def test_lines_come_one_by_one_and_the_label_once_on_stderr() -> None:
    with start("--interval", "20") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        for _ in range(3):
            assert parse(process.stdout.readline()) is not None
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == -signal.SIGTERM
        said = process.stderr.read()
    assert said.count("\n") == 1
    assert "MODELLED" in said
    assert "not measured" in said
    assert "4.7 W idle, +6 W per busy core" in said


def test_the_log_file_is_appended_to(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("before\n")
    with start("--interval", "20", "--logfile", str(log), "--readall", "--verbose") as process:
        while log.read_text().count("\n") < 4:
            assert process.poll() is None
        process.terminate()
        out, _ = process.communicate(timeout=60)
    assert out == ""
    assert log.read_text().startswith("before\n")
    assert "MODELLED" in log.read_text().splitlines()[1]
    assert parse(log.read_text().splitlines()[2]) is not None


def test_lines_sent_to_a_file_say_at_its_head_that_they_are_modelled(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("w") as file, subprocess.Popen([*ARGV, "--interval", "20"], stdout=file) as meter:
        while log.read_text().count("\n") < 2:
            assert meter.poll() is None
        meter.terminate()
    assert "MODELLED" in log.read_text().splitlines()[0]


def test_an_interrupt_and_a_reader_that_leaves_end_it_quietly() -> None:
    with start("--interval", "20") as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
        assert process.returncode == 130
        assert "Traceback" not in said
    with start("--interval", "20") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(60) == 0
        assert "Traceback" not in process.stderr.read()


@pytest.mark.parametrize("options", [["--interval", "0"], ["--interval", "x"], ["--stop"]])
def test_misuse_is_refused(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        tegrastats.main(options)
    assert caught.value.code == 2
    assert "usage: tegrastats" in capsys.readouterr().err


def test_help_says_that_power_is_modelled(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        tegrastats.main(["--help"])
    assert caught.value.code == 0
    assert "MODELLED" in capsys.readouterr().out
