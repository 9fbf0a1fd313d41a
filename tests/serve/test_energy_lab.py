"""Two emulated boards answer requests: what each is charged adds up to what the boards drew."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from boards_in_lab import Boards
from daemons import until
from load import Load
from typer.testing import CliRunner

from prism_edge.cli import app
from prism_edge.cluster.lab import Lab
from prism_edge.cluster.modes import obstacle
from prism_edge.energy.journal import read
from prism_edge.energy.rows import RequestRow

pytestmark = [pytest.mark.lab, pytest.mark.gloo, pytest.mark.slow, pytest.mark.timeout(240)]

VOLTAGE = "voltage:p=2,dtype=fp32"
ANSWERED = 60


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """Boards whose journal has everything from ``start_s`` to ``stop_s``."""

    boards: Boards
    start_s: float
    stop_s: float

    def requests(self) -> list[RequestRow]:
        return [row for row in read(self.boards.journal).requests if row.start_s >= self.start_s]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorded]:
    """Requests by several clients, under two plans, with the power around them."""
    refused = obstacle("root")
    if refused is not None:  # the boards of a rootless lab are out of this process's reach
        pytest.skip(refused)
    lab = Lab.up("energy", 2, 8e6, mode="root", root=tmp_path_factory.mktemp("labs"))
    try:
        boards = Boards(lab, tmp_path_factory.mktemp("boards"))
        try:
            yield until(lambda: answered(boards), "power without a gap", 120.0)
        finally:
            boards.end()
    finally:
        lab.down()


def answered(boards: Boards) -> Recorded | None:
    """Requests that were answered, and all of the power meanwhile. A board that was kept from
    measuring has a gap, of which nobody is charged anything: then nothing."""
    boards.together()
    since_s = time.time()
    with Load(boards.leader.url, "net", boards.cases([VOLTAGE, "local"] * 2)) as load:
        until(lambda: len(load.told) >= ANSWERED, "answers under load")
    assert load.wrong() == []

    def requests() -> list[RequestRow]:
        return [row for row in read(boards.journal).requests if row.start_s >= since_s]

    count = load.counts()[200]
    until(lambda: sum(row.batch for row in requests()) >= count, "requests in the journal")
    start_s = min(row.start_s for row in requests())
    stop_s = max(row.stop_s for row in requests())
    until(
        lambda: all(
            samples and samples[-1].t_s > stop_s + 0.5
            for samples in read(boards.journal).samples_by_board().values()
        ),
        "samples of all boards from after the last request",
    )
    for samples in read(boards.journal).samples_by_board().values():
        steps = np.diff([sample.t_s for sample in samples])
        gaps = (steps > 3 * np.median(steps)) | [one.gap is not None for one in samples[1:]]
        if any(
            gap and late.t_s > start_s and early.t_s < stop_s
            for gap, early, late in zip(gaps, samples, samples[1:], strict=False)
        ):
            return None
    return Recorded(boards=boards, start_s=start_s, stop_s=stop_s)


def trapezoids(points: list[tuple[float, float]], start_s: float, stop_s: float) -> float:
    """numpy's: nothing of the package is in it."""
    times, watts = np.array(points).T
    inside = times[(times > start_s) & (times < stop_s)]
    grid = np.concatenate([[start_s], inside, [stop_s]])
    drawn = np.interp(grid, times, watts)
    return float(np.sum(np.diff(grid) * (drawn[1:] + drawn[:-1]) / 2))


def test_requests_and_idle_time_are_the_energy_of_the_window(recorded: Recorded) -> None:
    start_s, stop_s = recorded.start_s, recorded.stop_s
    argv = ["energy", "window", str(recorded.boards.journal), "--json"]
    done = CliRunner().invoke(app, [*argv, "--from", f"{start_s:.6f}", "--to", f"{stop_s:.6f}"])
    assert done.exit_code == 0, done.output
    said = json.loads(done.output)
    by_board = read(recorded.boards.journal).samples_by_board()
    assert len(by_board) == 2
    apart_j = sum(
        trapezoids([(s.t_s, s.power_w or 0.0) for s in samples], start_s, stop_s)
        for samples in by_board.values()
    )
    shares = said["shares"]
    charged = [one["energy_j"] for one in shares["requests"]]
    assert len(charged) == len(recorded.requests())
    assert None not in charged
    requests_j = sum(charged)
    assert requests_j + shares["idle_j"] == pytest.approx(said["energy_j"], rel=1e-9)
    assert requests_j + shares["idle_j"] == pytest.approx(apart_j, rel=0.01)
    assert requests_j > shares["idle_j"]  # the sum is not made of what nobody is charged for


def test_modelled_power_is_modelled_wherever_it_is_told(recorded: Recorded) -> None:
    boards = recorded.boards
    done = CliRunner().invoke(app, ["energy", "window", str(boards.journal), "--json"])
    said = json.loads(done.output)
    assert set(said["sources"].values()) == {"modelled"}
    assert any(note.startswith("MODELLED") for note in said["notes"])
    metrics = boards.leader.get("/metrics").text
    assert 'source="modelled"' in metrics
    assert 'source="sensor"' not in metrics


def test_the_boards_clocks_are_known(recorded: Recorded) -> None:
    """They are one clock: whatever was measured is within the bound it came with."""
    boards = recorded.boards
    events = [event for event in read(boards.journal).events if event.kind == "clock"]
    told = [json.loads(event.detail or "") for event in events]
    assert {one["board"] for one in told} == {boards.names[1]}
    assert all(abs(one["offset_s"]) <= one["bound_s"] + 1e-3 for one in told)
