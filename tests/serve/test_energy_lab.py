"""Two emulated boards answer requests: what each is charged adds up to what the boards drew."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import numpy as np
import pytest
from boards_in_lab import Boards
from daemons import until
from load import Load
from typer.testing import CliRunner

from prism_edge.cli import app
from prism_edge.cluster.lab import Lab
from prism_edge.cluster.modes import obstacle
from prism_edge.energy.journal import JournalData, read

pytestmark = [pytest.mark.lab, pytest.mark.gloo, pytest.mark.slow, pytest.mark.timeout(240)]

VOLTAGE = "voltage:p=2,dtype=fp32"
ANSWERED = 60


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Boards]:
    """A journal of requests by several clients, under two plans, with the power around them."""
    refused = obstacle("root")
    if refused is not None:  # the boards of a rootless lab are out of this process's reach
        pytest.skip(refused)
    lab = Lab.up("energy", 2, 8e6, mode="root", root=tmp_path_factory.mktemp("labs"))
    try:
        boards = Boards(lab, tmp_path_factory.mktemp("boards"))
        try:
            boards.together()
            with Load(boards.leader.url, "net", boards.cases([VOLTAGE, "local"] * 2)) as load:
                until(lambda: len(load.told) >= ANSWERED, "answers under load")
            assert load.wrong() == []
            stop_s = max(row.stop_s for row in settled(boards).requests)
            until(
                lambda: all(
                    samples and samples[-1].t_s > stop_s + 0.5
                    for samples in settled(boards).samples_by_board().values()
                ),
                "samples of all boards from after the last request",
            )
            yield boards
        finally:
            boards.end()
    finally:
        lab.down()


def settled(boards: Boards) -> JournalData:
    """The journal so far, with every request in it."""
    until(
        lambda: sum(row.batch for row in read(boards.journal).requests) >= ANSWERED,
        "requests in the journal",
    )
    return read(boards.journal)


def trapezoids(points: list[tuple[float, float]], start_s: float, stop_s: float) -> float:
    """numpy's: nothing of the package is in it."""
    times, watts = np.array(points).T
    inside = times[(times > start_s) & (times < stop_s)]
    grid = np.concatenate([[start_s], inside, [stop_s]])
    drawn = np.interp(grid, times, watts)
    return float(np.sum(np.diff(grid) * (drawn[1:] + drawn[:-1]) / 2))


def test_requests_and_idle_time_are_the_energy_of_the_window(recorded: Boards) -> None:
    found = read(recorded.journal)
    start_s = min(row.start_s for row in found.requests)
    stop_s = max(row.stop_s for row in found.requests)
    argv = ["energy", "window", str(recorded.journal), "--json"]
    done = CliRunner().invoke(app, [*argv, "--from", f"{start_s:.6f}", "--to", f"{stop_s:.6f}"])
    assert done.exit_code == 0, done.output
    said = json.loads(done.output)
    by_board = found.samples_by_board()
    assert len(by_board) == 2
    apart_j = sum(
        trapezoids([(s.t_s, s.power_w or 0.0) for s in samples], start_s, stop_s)
        for samples in by_board.values()
    )
    shares = said["shares"]
    charged = [one["energy_j"] for one in shares["requests"]]
    assert len(charged) == len(found.requests)
    assert None not in charged
    requests_j = sum(charged)
    assert requests_j + shares["idle_j"] == pytest.approx(said["energy_j"], rel=1e-9)
    assert requests_j + shares["idle_j"] == pytest.approx(apart_j, rel=0.01)
    assert requests_j > shares["idle_j"]  # the sum is not made of what nobody is charged for


def test_modelled_power_is_modelled_wherever_it_is_told(recorded: Boards) -> None:
    done = CliRunner().invoke(app, ["energy", "window", str(recorded.journal), "--json"])
    said = json.loads(done.output)
    assert set(said["sources"].values()) == {"modelled"}
    assert any(note.startswith("MODELLED") for note in said["notes"])
    metrics = httpx.get(f"{recorded.leader.url}/metrics", trust_env=False).text
    assert 'source="modelled"' in metrics
    assert 'source="sensor"' not in metrics


def test_the_boards_clocks_are_known(recorded: Boards) -> None:
    """They are one clock: whatever was measured is within the bound it came with."""
    events = [event for event in read(recorded.journal).events if event.kind == "clock"]
    told = [json.loads(event.detail or "") for event in events]
    assert {one["board"] for one in told} == {recorded.names[1]}
    assert all(abs(one["offset_s"]) <= one["bound_s"] + 1e-3 for one in told)
