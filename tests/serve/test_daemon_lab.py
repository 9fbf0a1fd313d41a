"""Two emulated boards on a slow link: boards killed and cables pulled in the middle of requests."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import numpy as np
import pytest
from checkpoints import Config, Weights, random_fill, vit, write
from daemons import Asked, Pair, Serving, busy, until

from prism_edge.cluster.lab import Lab
from prism_edge.cluster.modes import obstacle
from prism_edge.serve.datatypes import Array
from prism_edge.serve.oip_client import Reply

pytestmark = [pytest.mark.lab, pytest.mark.gloo, pytest.mark.slow, pytest.mark.timeout(240)]

EXACT = 1e-4
KILLS = 10
RATE_BPS = 2e6  # a request under VOLTAGE takes 2 s: whatever happens, happens during it
VOLTAGE = "voltage:p=2,dtype=fp32"
PIXELS = np.random.default_rng(2).integers(0, 256, (4, 3, 64, 64), dtype=np.uint8)


def net() -> tuple[Config, Weights]:
    """Small enough to be local in no time, wide enough to be slow over the link."""
    wild = random_fill()
    return vit(
        fill=lambda *shape: wild(*shape) / 6,
        hidden_size=192,
        num_hidden_layers=6,
        num_attention_heads=3,
        intermediate_size=384,
        image_size=64,
    )


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    refused = obstacle("root")
    if refused is not None:  # the boards of a rootless lab are out of this process's reach
        pytest.skip(refused)
    lab = Lab.up("serve", 2, RATE_BPS, mode="root", root=tmp_path_factory.mktemp("labs"))
    try:
        yield lab
    finally:
        lab.down()


@pytest.fixture(scope="module")
def boards(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    directory = tmp_path_factory.mktemp("boards")
    model = write(directory / "net", *net())
    argv = ["--cluster", str(lab.cluster_toml), "--model", f"net={model}"]
    one, two = lab.hosts()
    journal = ["--journal", str(directory / "journal.sqlite")]
    leader = Serving(*argv, "--board", one.name, *journal, host=one)
    found = None
    try:
        found = Pair(directory, leader, lambda: Serving(*argv, "--board", two.name, host=two))
        leader.until_ready()
        yield found.together()
    finally:
        leader.end()
        if found is not None:
            found.worker.end()


@pytest.fixture(scope="module")
def expected(boards: Pair) -> Array:
    logits = boards.leader.infer("net", {"pixel_values": PIXELS}, "local").outputs["logits"]
    reply = boards.together().leader.infer("net", {"pixel_values": PIXELS}, VOLTAGE)
    assert reply.parameters["plan"] == VOLTAGE
    assert gap(reply.outputs["logits"], logits) < EXACT
    return logits


def gap(found: Array, expected: Array) -> float:
    return float(np.abs(np.subtract(found, expected)).max())


def under_way(boards: Pair) -> Asked:
    leader = boards.together().leader
    request = Asked(lambda: leader.infer("net", {"pixel_values": PIXELS}, VOLTAGE))
    busy(leader)
    return request


def check(reply: Reply, expected: Array) -> str:
    """The answer is right and local; why."""
    why = str(reply.parameters["why"])
    assert reply.parameters["plan"] == "local", why
    assert gap(reply.outputs["logits"], expected) < EXACT
    assert f"{VOLTAGE} failed (" in why
    assert "lost edge-2" in why or "board edge-2" in why, why
    return why


def test_killed_ten_times_answered_ten_times_and_back_by_itself(
    boards: Pair, expected: Array
) -> None:
    seconds: dict[str, list[float]] = {"engine": [], "agent": []}
    for number in range(KILLS):
        victim = ("engine", "agent")[number % 2]
        pid = boards.worker.process.pid
        if victim == "engine":
            pid = boards.together().worker.engine()
        request = under_way(boards)
        os.kill(pid, signal.SIGKILL)
        start_s = time.monotonic()
        why = check(request.answer(), expected)
        answered_s = time.monotonic() - start_s
        if victim == "agent":
            boards.start_worker_again()
            start_s = time.monotonic()
        boards.together()
        seconds[victim].append(time.monotonic() - start_s)
        print(f"{victim} killed: answered after {answered_s:.2f} s, {why}")
    for victim, taken in seconds.items():
        text = ", ".join(f"{one:.1f}" for one in taken)
        since = "its death" if victim == "engine" else "its start"
        print(f"{victim}: in service again {text} s after {since}")
    assert [len(taken) for taken in seconds.values()] == [KILLS // 2] * 2


def test_a_pulled_cable_costs_nothing_and_the_board_is_back_when_it_is_plugged_in(
    lab: Lab, boards: Pair, expected: Array
) -> None:
    request = under_way(boards)
    lab.set_link("edge-2", up=False)
    try:
        why = check(request.answer(), expected)
        assert "board edge-2: silent for" in why
        reply = boards.leader.infer("net", {"pixel_values": PIXELS}, VOLTAGE)
        assert "only edge-1 in service" in str(reply.parameters["why"])
    finally:
        lab.set_link("edge-2", up=True)
    start_s = time.monotonic()
    boards.together()
    print(f"link: in service again {time.monotonic() - start_s:.1f} s after it was plugged in")
    reply = boards.leader.infer("net", {"pixel_values": PIXELS}, VOLTAGE)
    assert reply.parameters["plan"] == VOLTAGE


def test_the_power_of_both_boards_reaches_the_leader(boards: Pair) -> None:
    def shown() -> bool:
        text = boards.leader.get("/metrics").text
        return all(
            f'prism_edge_power_watts{{board="{name}",source="modelled"}}' in text
            for name in ("edge-1", "edge-2")
        )

    until(shown, "power of both boards")
