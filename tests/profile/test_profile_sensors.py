"""Readers on real processes: a meter that prints, one that is missing, one that is not complete."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import pytest

import prism_edge
from prism_edge.cluster.local import LocalHost
from prism_edge.profile.power import PowerMeter, spent
from prism_edge.profile.sensors import NONE, Sensors, Watcher, start_sensors
from prism_edge.settings import BoardSettings

T = TypeVar("T")
LINE = "RAM 2/8MB (lfb 1x4MB) CPU [9%@1510] VDD_IN {mw}mW/9999mW VDD_SOC 99mW/99mW"


def board(name: str, power: str = "modelled") -> BoardSettings:
    return BoardSettings(name=name, address="127.0.0.1", power=power)  # type: ignore[arg-type]


def host(root: Path, name: str, script: str) -> LocalHost:
    """A host whose tegrastats is that shell script."""
    directory = root / name
    directory.mkdir()
    program = directory / "tegrastats"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return LocalHost(name=name, bin_dir=directory)


def steady_host(root: Path, name: str, mw: int) -> LocalHost:
    line = LINE.format(mw=mw)
    return host(root, name, f"while :; do echo '{line}'; sleep 0.05; done")


def wait_until(true: Callable[[], T | None]) -> T:
    """What ``true`` says in the end: on a busy machine lines come late, and windows have gaps."""
    deadline_s = time.monotonic() + 100
    while not (found := true()):
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
    return found


def test_a_meter_knows_windows_that_its_samples_cover(tmp_path: Path) -> None:
    meter = PowerMeter(board("edge-1"), steady_host(tmp_path, "edge-1", 6000))
    try:
        wait_until(lambda: len(meter.near(0.0)) >= 12)
        stamps = [sample.t_s for sample in meter.near(0.0)]
        gaps = [after - before for before, after in pairwise(stamps[1:11])]
        if max(gaps) < 0.3:  # a gap is not bridged
            assert meter.mean_w(stamps[1], stamps[10]) == pytest.approx(6.0)
        assert meter.mean_w(stamps[1] + 1e-4, stamps[2] - 1e-4) is None  # no sample inside
        assert meter.mean_w(stamps[-1] + 100, stamps[-1] + 101) is None  # nothing was read then
        assert meter.mean_w(stamps[0] - 10, stamps[10]) is None  # nor before it began
        assert meter.rule == "VDD_IN"
        wait_until(lambda: meter.problem is None)
    finally:
        meter.close()


def test_a_cluster_spends_what_all_its_boards_do_or_nothing_is_said(tmp_path: Path) -> None:
    boards = [board("edge-1"), board("edge-2"), board("edge-3", "none")]
    hosts = [
        steady_host(tmp_path, "edge-1", 5000),
        steady_host(tmp_path, "edge-2", 7000),
        LocalHost(name="edge-3"),
    ]
    with start_sensors(hosts[:2], boards[:2]) as sensors:

        def rest_w() -> list[float] | None:
            found = [one for one in sensors.rest(1.0) if one is not None]
            return found if len(found) == 2 else None

        def spent_j() -> float | None:
            stop_s = time.monotonic()
            return sensors.spent_j(stop_s - 0.6, stop_s)

        assert wait_until(rest_w) == pytest.approx([5.0, 7.0])
        assert wait_until(spent_j) == pytest.approx(0.6 * 12, rel=0.01)
        stop_s = time.monotonic()
        assert sensors.spent_j(stop_s - 0.01, stop_s) is None  # too short for its samples
        assert [sensors.power(rank) for rank in (0, 1)] == ["modelled", "modelled"]
        assert sensors.facts(0)["power_rail"] == "VDD_IN"
        assert sensors.request_s > 0
        wait_until(lambda: not sensors.warnings())
    with start_sensors(hosts[1:], boards[1:]) as sensors:
        assert sensors.rest(0.5)[1] is None
        now_s = time.monotonic()
        assert sensors.spent_j(now_s - 0.4, now_s) is None  # a board without a meter is not free
        assert sensors.power(1) == "none"
        assert (sensors.request_s, sensors.least_s(1)) == (0.0, 0.0)
        assert sensors.least_s(0) > 0
    assert spent([], 0.0, 1.0) is None


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("echo 'no sensor here' >&2; exit 3", "ended with code 3; its last line was 'no sensor"),
        ("echo 'RAM 2/8MB (lfb 1x4MB) CPU [9%]'; exec sleep 60", "no power rails"),
    ],
)
def test_a_meter_that_says_nothing_is_no_meter(tmp_path: Path, script: str, expected: str) -> None:
    with start_sensors([host(tmp_path, "edge-1", script)], [board("edge-1", "sensor")]) as sensors:
        wait_until(sensors.warnings)
        (warning,) = sensors.warnings()
        assert warning.startswith("board edge-1: no power readings: ")
        assert expected in warning
        assert sensors.power(0) == "none"
        assert sensors.rest(0.1) == [None]


JTOP = """
import time
class jtop:
    power = {"tot": {"name": "VDD_IN", "power": 6000}, "rail": {"VDD_SOC": {"power": 900}}}
    temperature = {}
    def __init__(self, interval):
        pass
    def __enter__(self):
        return self
    def __exit__(self, *error):
        pass
    def ok(self):
        time.sleep(0.02)
        return True
"""


def test_a_board_is_measured_by_the_source_that_was_told(tmp_path: Path) -> None:
    (tmp_path / "jtop.py").write_text(JTOP)
    path = os.pathsep.join([str(tmp_path), str(Path(prism_edge.__file__).parents[1])])
    told = dataclasses.replace(board("edge-1", "sensor"), power_source="jtop")
    meter = PowerMeter(told, LocalHost(name="edge-1", env={"PYTHONPATH": path}))
    try:
        sample = wait_until(lambda: next(iter(meter.near(0.0)), None))
        assert (sample.power_w, sample.source, meter.rule) == (6.0, "sensor", "VDD_IN by jtop")
    finally:
        meter.close()


def test_a_board_without_tegrastats_is_said(tmp_path: Path) -> None:
    nowhere = LocalHost(name="edge-1", env={"PATH": str(tmp_path)})
    meter = PowerMeter(board("edge-1"), nowhere)
    try:
        wait_until(lambda: meter.problem)
        assert "tegrastats" in str(meter.problem)
    finally:
        meter.close()


def test_conditions_are_read_while_the_sweep_runs() -> None:
    with start_sensors([LocalHost(name="edge-1")], [board("edge-1", "none")]) as sensors:
        found = wait_until(sensors.conditions)
        assert float(found["load_average_max"]) >= float(found["load_average_median"]) >= 0
        assert found["memory_available_min edge-1"].endswith(" MB")
        assert sensors.changed(0) is None
        assert sensors.too_hot(0) is None or "is at" in str(sensors.too_hot(0))


def test_no_reader_outlives_its_sensors(tmp_path: Path) -> None:
    with start_sensors([steady_host(tmp_path, "a", 1)], [board("a")]) as sensors:
        processes = [reader._lines._process for reader in (sensors._meter(0), sensors._watchers[0])]
    assert all(process is not None and process.poll() is not None for process in processes)


def test_without_sensors_nothing_is_known() -> None:
    assert NONE.mean_w(0, 0.0, 1.0) is None
    assert NONE.spent_j(0.0, 1.0) is None
    assert (NONE.changed(3), NONE.too_hot(3), NONE.conditions()) == (None, None, {})
    assert (NONE.least_s(0), NONE.request_s, NONE.power(0)) == (0.0, 0.0, "none")


def test_a_reader_that_does_not_start_is_waited_for_no_longer() -> None:
    watcher = Watcher(LocalHost(name="edge-1", env={"PYTHONHOME": "/nowhere"}))
    try:
        wait_until(lambda: watcher._lines.why_ended)
        watcher.await_first()
        assert not watcher.states
        (warning,) = Sensors(["edge-1"], [None], [watcher]).warnings()
        assert warning.startswith("board edge-1: the reader of its temperatures, clocks and power")
        assert "it ended with code 1; its last line was" in warning
    finally:
        watcher.close()
    assert Sensors(["edge-1"], [None], [watcher]).facts(0) == {}


def test_a_reader_that_dies_is_said() -> None:
    with start_sensors([LocalHost(name="edge-1")], [board("edge-1", "none")]) as sensors:
        wait_until(lambda: not sensors.warnings())
        process = sensors._watchers[0]._lines._process
        assert process is not None
        process.kill()
        wait_until(sensors.warnings)
        (warning,) = sensors.warnings()
        assert "it ended with code -9" in warning
