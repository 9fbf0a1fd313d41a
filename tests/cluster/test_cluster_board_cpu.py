"""CPU time of a board, counted on a made-up /proc where every tick is known."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from prism_edge.cluster.board_cpu import BoardCpu

TICK_S = 1.0 / os.sysconf("SC_CLK_TCK")
MINE = frozenset({1, 2, 3})


def run(proc: Path, pid: int, ticks: int, start: int = 100) -> None:
    """The process exists and has used that much."""
    (proc / str(pid)).mkdir(exist_ok=True)
    fields = f"S 1 1 1 0 -1 0 0 0 0 0 {ticks} 0 9999 9999 20 0 1 0 {start} 0 0"
    (proc / str(pid) / "stat").write_text(f"{pid} (x) {fields}\n")


def meter(proc: Path) -> BoardCpu:
    return BoardCpu(lambda pid: pid in MINE, proc)


def ticks(cpu: BoardCpu, now_s: float) -> int:
    return round(cpu.sample(now_s) / TICK_S)


def test_counting_starts_at_the_first_sample(tmp_path: Path) -> None:
    run(tmp_path, 1, 5000)
    cpu = meter(tmp_path)
    assert ticks(cpu, 0.0) == 0
    run(tmp_path, 1, 5007)
    assert ticks(cpu, 0.1) == 7
    assert ticks(cpu, 0.2) == 7


def test_other_boards_do_not_count(tmp_path: Path) -> None:
    run(tmp_path, 1, 10)
    run(tmp_path, 99, 10)
    cpu = meter(tmp_path)
    cpu.sample(0.0)
    run(tmp_path, 99, 1000)
    assert ticks(cpu, 1.0) == 0
    run(tmp_path, 1, 11)
    assert ticks(cpu, 2.0) == 1


def test_all_processes_of_the_board_count_together(tmp_path: Path) -> None:
    run(tmp_path, 1, 0)
    run(tmp_path, 2, 0)
    cpu = meter(tmp_path)
    cpu.sample(0.0)
    run(tmp_path, 1, 3)
    run(tmp_path, 2, 4)
    assert ticks(cpu, 0.1) == 7


def test_a_new_process_is_noticed_within_half_a_second_with_all_it_used(tmp_path: Path) -> None:
    cpu = meter(tmp_path)
    cpu.sample(0.0)
    run(tmp_path, 2, 30)
    assert ticks(cpu, 0.1) == 0
    assert ticks(cpu, 0.5) == 30
    run(tmp_path, 2, 35)
    assert ticks(cpu, 0.6) == 35


def test_a_process_that_ends_keeps_its_share_and_takes_nothing_back(tmp_path: Path) -> None:
    run(tmp_path, 1, 10)
    cpu = meter(tmp_path)
    cpu.sample(0.0)
    run(tmp_path, 1, 30)
    assert ticks(cpu, 0.1) == 20
    shutil.rmtree(tmp_path / "1")
    assert [ticks(cpu, now_s) for now_s in (0.2, 0.7, 1.2)] == [20, 20, 20]


def test_a_second_life_of_a_pid_starts_at_zero(tmp_path: Path) -> None:
    run(tmp_path, 1, 1000, start=100)
    cpu = meter(tmp_path)
    cpu.sample(0.0)
    run(tmp_path, 1, 5, start=200)
    assert ticks(cpu, 0.1) == 5


@pytest.mark.parametrize("moment_s", [0.5, 0.9])
def test_a_process_that_moves_in_is_noticed(tmp_path: Path, moment_s: float) -> None:
    """nsenter starts outside of the board and enters it."""
    inside: set[int] = set()
    run(tmp_path, 7, 1)
    cpu = BoardCpu(lambda pid: pid in inside, tmp_path)
    cpu.sample(0.0)
    inside.add(7)
    run(tmp_path, 7, 4)
    assert ticks(cpu, moment_s) == 4
