"""Boards whose wall clock is set by an hour while they serve: only stamps follow it."""

from __future__ import annotations

import json
import mmap
import os
import shutil
import signal
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from checkpoints import vit, write
from daemons import PATIENCE_S, Asked, Pair, busy, pair, until

from prism_edge.cluster.local import LocalHost
from prism_edge.energy.journal_reader import read
from prism_edge.serve.oip_client import Daemon
from prism_edge.serve.tls import trusting

pytestmark = [pytest.mark.gloo, pytest.mark.slow, pytest.mark.timeout(300)]

HOUR_S = 3600
SETTINGS = (HOUR_S, -HOUR_S, 0)
VOLTAGE = "voltage:p=2,dtype=fp32"
EXACT = 1e-4
PIXELS = np.random.default_rng(3).integers(0, 256, (2, 3, 32, 32), dtype=np.uint8)


class Wall:
    """The wall clock of the processes that ``environment`` is given to."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "wall"
        self.path.write_bytes(bytes(8))
        library, source = directory / "wall.so", Path(__file__).with_name("wall.c")
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler is None:
            pytest.skip("needs a C compiler, for a clock that can be set (apt-get install gcc)")
        argv = [compiler, "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"]
        subprocess.run(argv, check=True)
        self.environment = {"LD_PRELOAD": str(library), "WALL_CLOCK": str(self.path)}

    def set(self, ahead_s: int) -> None:
        with self.path.open("r+b") as file, mmap.mmap(file.fileno(), 8) as seconds:
            seconds[:] = struct.pack("=q", ahead_s)


@pytest.fixture(scope="module")
def wall(tmp_path_factory: pytest.TempPathFactory) -> Wall:
    return Wall(tmp_path_factory.mktemp("wall"))


@pytest.fixture(scope="module")
def boards(wall: Wall, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    directory = tmp_path_factory.mktemp("boards")
    net, host = write(directory / "vit", *vit()), LocalHost(name="here", env=wall.environment)
    with pair(directory, {"net": net}, tls=True, host=host, exchange_timeout_s=4) as found:
        yield found


@pytest.fixture
def together(boards: Pair, wall: Wall) -> Iterator[Pair]:
    yield boards.together()
    wall.set(0)


def ask(boards: Pair, plan: str) -> tuple[str, np.ndarray]:
    reply = boards.leader.infer("net", {"pixel_values": PIXELS}, plan)
    return str(reply.parameters["plan"]), reply.outputs["logits"]


def snapshots(boards: Pair, count: int) -> list[float]:
    """When the next ones were made, as the daemon's page is told."""
    leader, found = boards.leader, list[float]()
    assert leader.authority is not None
    headers = {"Authorization": f"Bearer {leader.token}"}
    with (
        httpx.Client(verify=trusting(leader.authority), trust_env=False) as client,
        client.stream("GET", f"{leader.url}/events", headers=headers, timeout=PATIENCE_S) as said,
    ):
        for line in said.iter_lines():
            if line.startswith("data: {"):
                found.append(json.loads(line.removeprefix("data: "))["now_s"])
            if len(found) == count:
                break
    return found


def test_nobody_is_lost_and_only_stamps_follow_the_clock(together: Pair, wall: Wall) -> None:
    _, expected = ask(together, "local")
    epoch = together.leader.status()["epoch"]
    path = together.directory / "journal.sqlite"
    for ahead_s in SETTINGS:
        wall.set(ahead_s)
        before = len(read(path).requests)
        for _ in range(5):
            plan, logits = ask(together, VOLTAGE)
            assert plan == VOLTAGE
            assert np.abs(logits - expected).max() < EXACT
        made = snapshots(together, 3)
        assert 1 <= made[2] - made[0] < PATIENCE_S
        until(lambda before=before: len(read(path).requests) >= before + 5, "rows")  # type: ignore[misc]
        # the control: the daemon does read the clock that was set
        newest = max(read(path).requests, key=lambda row: abs(row.stop_s - time.time()))
        assert abs(newest.stop_s - time.time()) > HOUR_S / 2
    assert together.leader.status()["epoch"] == epoch


def limited(boards: Pair, timeout_s: float) -> Asked:
    """A request that its leader's engine, frozen, does not answer within this."""

    def ask() -> np.ndarray:
        parameters = {"timeout": int(timeout_s * 1e6)}
        leader = boards.leader
        with Daemon(leader.url, token=leader.token, authority=leader.authority) as daemon:
            return daemon.infer("net", {"pixel_values": PIXELS}, parameters).outputs["logits"]

    os.kill(boards.leader.engine(), signal.SIGSTOP)
    request = Asked(ask)
    busy(boards.leader)
    return request


def test_no_deadline_passes_because_the_clock_is_put_forward(together: Pair, wall: Wall) -> None:
    _, expected = ask(together, "local")
    request = limited(together, PATIENCE_S)
    wall.set(HOUR_S)
    os.kill(together.leader.engine(), signal.SIGCONT)
    assert np.abs(request.answer() - expected).max() < EXACT


def test_a_deadline_passes_although_the_clock_is_put_back(together: Pair, wall: Wall) -> None:
    request = limited(together, 2.0)
    wall.set(-HOUR_S)
    with pytest.raises(Exception, match="504"):
        request.answer()


def test_a_frozen_board_is_given_up_although_the_clock_is_put_back(
    together: Pair, wall: Wall
) -> None:
    _, expected = ask(together, "local")
    os.kill(together.together().worker.engine(), signal.SIGSTOP)
    request = Asked(lambda: ask(together, VOLTAGE))
    busy(together.leader)
    wall.set(-HOUR_S)
    plan, logits = request.answer()
    assert plan == "local"
    assert np.abs(logits - expected).max() < EXACT
    together.together()  # with the worker's next engine
    assert ask(together, VOLTAGE)[0] == VOLTAGE
