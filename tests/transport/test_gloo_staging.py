"""GLOO sends and receives in the memory of a staging, and a message is staged once.

The other ranks are puppets, which compute nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import checkpoints
import pytest
import torch
from nets import over_loopback
from puppet import ADDRESS, Puppet, join, puppets
from torch import Tensor

from prism_edge.families import load
from prism_edge.plan import Plan
from prism_edge.request import lead
from prism_edge.spans import Recorder
from prism_edge.tables.staging_rule import StagingRule
from prism_edge.transport.gloo import Gloo, GlooStore
from prism_edge.transport.staging import Plain, Staging, staging_of

pytestmark = pytest.mark.gloo
EPOCHS = count(1)
RULES = ("gloo", "pinned", "mapped", "mapped:4096,pinned")


@pytest.fixture(scope="module")
def store() -> GlooStore:
    return GlooStore(ADDRESS)


@pytest.fixture(scope="module")
def workers(store: GlooStore) -> Iterator[list[Puppet]]:
    with puppets(2, store.port) as started:
        yield started


def form(store: GlooStore, workers: list[Puppet], staging: Staging) -> Gloo:
    """Rank 0 of a new group with these workers, with a staging of its own."""
    shape = {"epoch": next(EPOCHS), "size": 1 + len(workers)}
    for rank, worker in enumerate(workers, 1):
        worker.settle()
        worker.tell("join", rank=rank, **shape)
    group = join(store.store, store.port, rank=0, staging=staging, **shape)
    for worker in workers:
        worker.hear()
    return group


class Noted(Plain):
    """The CPU's staging, which keeps what it was asked for."""

    def __init__(self) -> None:
        super().__init__(torch.device("cpu"))
        self.memory: list[Tensor] = []
        self.sources: list[Tensor] = []

    def empty(self, size: int) -> Tensor:
        self.memory.append(super().empty(size))
        return self.memory[-1]

    def to_host(self, payload: Tensor, out: Tensor) -> None:
        self.sources.append(payload)
        assert self.holds(out)
        super().to_host(payload, out)

    def holds(self, part: Tensor) -> bool:
        """True when ``part`` lies in memory handed out."""
        return any(0 <= part.data_ptr() - whole.data_ptr() < whole.numel() for whole in self.memory)


def test_messages_lie_in_the_memory_of_the_staging(store: GlooStore, workers: list[Puppet]) -> None:
    noted = Noted()
    group = form(store, workers[:1], noted)
    for turn in range(3):
        payload = torch.full((5000,), turn, dtype=torch.uint8)
        workers[0].tell("begin", {0: [bytes([turn]) * 70]}, {0: 5000})
        found = group.begin({1: payload}, {1: 70}).wait()[1]
        assert workers[0].hear() == {0: payload.numpy().tobytes()}
        assert noted.holds(found)
        assert found.tolist() == [turn] * 70
    assert len(noted.sources) == 3
    assert len(noted.memory) <= 3  # nothing is allocated once it runs
    group.close()


def test_a_message_to_several_ranks_is_staged_once(store: GlooStore, workers: list[Puppet]) -> None:
    noted = Noted()
    group = form(store, workers, noted)
    payload = torch.arange(200, dtype=torch.uint8)
    for worker in workers:
        worker.tell("begin", {}, {0: 200})
    group.begin({1: payload, 2: payload}, {}).wait()
    assert [worker.hear() for worker in workers] == [{0: payload.numpy().tobytes()}] * 2
    first, second = noted.sources
    assert not noted.holds(first)
    assert noted.holds(second)  # a copy within host memory: the device is not asked again
    group.close()


# -- law 14 with a GPU -------------------------------------------------------------------------


@pytest.mark.gpu
@pytest.mark.parametrize("rule", RULES)
def test_what_a_gpu_sends_and_hears_is_what_was_meant(
    store: GlooStore, workers: list[Puppet], rule: str
) -> None:
    device = torch.device("cuda", 0)
    group = form(store, workers, staging_of(StagingRule.parse(rule), device))
    for size in (1, 16, 3000, 4096, 4097, 100_000, 5_000_000):
        payload = torch.arange(size).mul(31).add(size).remainder(251).to(torch.uint8)
        answer = payload.flip(0).numpy().tobytes()
        for worker in workers:
            worker.tell("begin", {0: [answer]}, {0: size})
        sent = payload.to(device)
        pending = group.begin({1: sent, 2: sent}, {1: size, 2: size})
        sent.fill_(0)  # the message has left the device
        found = {rank: group.staging.to_device(data) for rank, data in pending.wait().items()}
        for rank, worker in enumerate(workers, 1):
            assert worker.hear() == {0: payload.numpy().tobytes()}
            assert found[rank].is_cuda
            assert torch.equal(found[rank].cpu(), payload.flip(0))
    group.close()


@pytest.mark.parametrize(
    ("device", "rule"),
    [("cpu", "gloo"), *(pytest.param("cuda", rule, marks=pytest.mark.gpu) for rule in RULES)],
)
@pytest.mark.parametrize("plan", ["prism:p=3,l=3", "prism:p=3,l=3,dtype=int8", "voltage:p=2"])
def test_a_gpu_and_cpus_answer_as_cpus_alone(
    store: GlooStore, workers: list[Puppet], tmp_path: Path, device: str, rule: str, plan: str
) -> None:
    directory = checkpoints.write(tmp_path / "vit", *checkpoints.vit())
    model, there = load(directory, device), load(directory)
    pixels = torch.arange(2 * 3 * 32 * 32).view(2, 3, 32, 32).remainder(251).to(torch.uint8)
    group = form(store, workers, staging_of(StagingRule.parse(rule), model.device))
    for worker in workers:
        worker.tell("follow", {"net": there})
    for _ in range(3):
        found = lead(model, "net", Plan.parse(plan), {"pixel_values": pixels}, group, Recorder())
        expected, _ = over_loopback(there, plan, {"pixel_values": pixels})
        assert torch.allclose(found["logits"], expected["logits"], atol=1e-3)
    group.close()
    for worker in workers:
        worker.hear()
