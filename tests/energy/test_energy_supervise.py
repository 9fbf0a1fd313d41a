"""A source that dies is started again, and its samples say what was lost."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path
from types import TracebackType

import pytest

from prism_edge.energy.replay import EmptySource, ReplaySource
from prism_edge.energy.sample import PowerSource, Sample
from prism_edge.energy.source import tegrastats_source
from prism_edge.energy.supervise import Supervised
from prism_edge.errors import EnergyError


class Scripted:
    """A source that does what it was told, then says that it ended."""

    def __init__(self, powers: list[float], enter: str = "", end: str = "ended") -> None:
        self.rule: str | None = "VDD_IN"
        self._powers = list(powers)
        self._enter, self._end = enter, end
        self.left = False

    async def __aenter__(self) -> Scripted:
        if self._enter:
            raise EnergyError(self._enter)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.left = True

    def __aiter__(self) -> Scripted:
        return self

    async def __anext__(self) -> Sample:
        if not self._powers:
            raise EnergyError(self._end)
        power_w = self._powers.pop(0)
        return Sample(board="a", t_s=1.0, power_w=power_w, source="sensor", rule=self.rule)


def take(sources: list[PowerSource], count: int) -> tuple[list[Sample], list[str]]:
    told: list[str] = []

    async def run() -> list[Sample]:
        supervised = Supervised(lambda: sources.pop(0), told.append, first_s=0.001)
        async with supervised:
            found = [await supervised.__anext__() for _ in range(count)]
        assert supervised.rule == "VDD_IN"
        return found

    return asyncio.run(run()), told


def test_the_sample_after_an_outage_says_why_there_were_none() -> None:
    first, second = Scripted([1, 2], end="the child ended"), Scripted([3, 4])
    samples, told = take([first, second], 4)
    assert [(sample.power_w, sample.gap) for sample in samples] == [
        (1, None),
        (2, None),
        (3, "the child ended"),
        (4, None),
    ]
    assert told == ["the child ended"]
    assert first.left
    assert second.left


def test_an_outage_is_told_once_however_many_starts_it_takes() -> None:
    failing: list[PowerSource] = [Scripted([], enter=f"try {k}") for k in range(5)]
    samples, told = take([*failing, Scripted([7])], 1)
    assert told == ["try 0"]
    assert samples[0].gap == "try 0"


def test_starts_are_later_and_later() -> None:
    failing: list[PowerSource] = [Scripted([], enter="no") for _ in range(6)]
    start_s = time.monotonic()
    take([*failing, Scripted([7])], 1)
    assert time.monotonic() - start_s >= 0.001 + 0.002 + 0.004 + 0.008 + 0.016 + 0.032


def test_a_source_that_ends_by_itself_ends_it() -> None:
    async def run() -> list[Sample]:
        async with Supervised(EmptySource, pytest.fail) as supervised:
            return [sample async for sample in supervised]

    assert asyncio.run(run()) == []


def test_a_replay_ends_it_too(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("RAM 1/2MB VDD_IN 5000mW/5000mW\n" * 3)

    def make() -> ReplaySource:
        return ReplaySource(board="a", path=path, start_s=0.0, interval_s=0.5)

    async def run() -> list[Sample]:
        async with Supervised(make, pytest.fail) as supervised:
            return [sample async for sample in supervised]

    assert [sample.t_s for sample in asyncio.run(run())] == [0.0, 0.5, 1.0]


def test_a_killed_tegrastats_comes_back(tmp_path: Path) -> None:
    script = tmp_path / "tegrastats"
    line = "RAM 1/2MB (lfb 1x4MB) CPU [1%@2] VDD_IN 5000mW/5000mW"
    script.write_text(
        f"#!/bin/sh\necho $$ >{tmp_path}/pid\nwhile echo '{line}'; do sleep 0.01; done\n"
    )
    script.chmod(0o755)
    told: list[str] = []

    async def run() -> tuple[Sample, set[int]]:
        def make() -> PowerSource:
            return tegrastats_source(board="edge-1", program=str(script))

        async with Supervised(make, told.append, first_s=0.01) as supervised:
            before = await supervised.__anext__()
            assert before.gap is None
            pids = {int((tmp_path / "pid").read_text())}
            os.kill(*pids, signal.SIGKILL)
            while (sample := await supervised.__anext__()).gap is None:
                pass
            return sample, pids | {int((tmp_path / "pid").read_text())}

    sample, pids = asyncio.run(run())
    assert sample.power_w == 5.0
    assert "board edge-1: tegrastats ended after" in str(sample.gap)
    assert told == [sample.gap]
    assert len(pids) == 2
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
