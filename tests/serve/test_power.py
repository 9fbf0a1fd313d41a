"""The daemon's samples: of which source, and what is told when there are none."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from prism_edge.energy.sample import Sample
from prism_edge.serve.power import keep_sampling
from prism_edge.settings import BoardSettings

LINE = "RAM 1/2MB (lfb 1x4MB) CPU [1%@2]"


def board(**settings: str) -> BoardSettings:
    return BoardSettings(name="edge-1", address="10.0.0.1", **settings)  # type: ignore[arg-type]


@pytest.fixture
def prints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes a tegrastats that prints that line again and again."""
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

    def install(line: str) -> None:
        script = tmp_path / "tegrastats"
        script.write_text(f"#!/bin/sh\nwhile echo '{line}'; do sleep 0.01; done\n")
        script.chmod(0o755)

    return install


def sampled(
    settings: BoardSettings, until: Callable[[list[Sample], list[str]], bool]
) -> tuple[list[Sample], list[str]]:
    """What was handed on and what was told, as soon as that is enough."""
    samples: list[Sample] = []
    told: list[str] = []

    async def run() -> None:
        task = asyncio.create_task(keep_sampling(settings, samples.append, told.append))
        while not until(samples, told):
            assert not task.done()
            await asyncio.sleep(0.005)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(asyncio.wait_for(run(), 60))
    return samples, told


def test_samples_of_a_board(prints: Callable[[str], None]) -> None:
    prints(f"{LINE} VDD_IN 5000mW/5000mW")
    samples, told = sampled(board(power_source="tegrastats"), lambda s, _: len(s) >= 2)
    assert {(one.power_w, one.source, one.rule) for one in samples} == {(5.0, "sensor", "VDD_IN")}
    assert told == []


def test_a_lab_is_modelled(prints: Callable[[str], None]) -> None:
    prints(f"{LINE} VDD_IN 5000mW/5000mW")
    samples, _ = sampled(board(power="modelled"), lambda s, _: len(s) >= 1)
    assert samples[0].source == "modelled"


def test_a_total_that_is_not_known_is_told_once_and_never_handed_on(
    prints: Callable[[str], None],
) -> None:
    prints(f"{LINE} NEW_A 5000mW/5000mW NEW_B 1000mW/5mW")
    turns = 0

    def enough(_: list[Sample], told: list[str]) -> bool:
        nonlocal turns
        turns += bool(told)
        return turns >= 20

    samples, told = sampled(board(power_source="tegrastats"), enough)
    assert samples == []
    assert len(told) == 1
    assert "no known total among the power rails NEW_A, NEW_B" in told[0]
    declared = board(power_source="tegrastats", power_total="NEW_A + NEW_B")
    assert sampled(declared, lambda s, _: len(s) >= 1)[0][0].power_w == 6.0


def test_a_board_without_a_sensor_tells_nothing_and_goes_on() -> None:
    turns = iter(range(20))
    samples, told = sampled(board(power="none"), lambda _s, _t: next(turns, None) is None)
    assert (samples, told) == ([], [])


def test_a_sensor_that_is_not_there_is_told_with_all_that_was_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    _, told = sampled(board(), lambda _, t: len(t) >= 1)
    assert told[0].startswith("board edge-1: no power source: sysfs: no INA3221 or INA238")
    assert 'set power = "none" in cluster.toml' in told[0]
