"""What the leader learns of its workers: who worked and who waited, over every transport.

Over loopback each rank has a clock that only its own work moves, so that figures are exact; over
GLOO one rank has sixty times the work of another.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
import torch
from nets import Net, noise
from puppet import ADDRESS, Puppet, join, puppets
from torch import Tensor

from prism_edge.errors import OutOfStepError, PeerLostError
from prism_edge.families.model import Model, Tensors
from prism_edge.plan import Plan
from prism_edge.request import follow, lead
from prism_edge.spans import Effort, Recorder
from prism_edge.transport import Transport
from prism_edge.transport.frame import FRAME_BYTES, Frame
from prism_edge.transport.gloo import Gloo, GlooStore
from prism_edge.transport.loopback import loopback_group, run_ranks
from prism_edge.transport.paced import Paced
from prism_edge.transport.tally import Tally

EPOCHS = count(1)


class Clocked(Net):
    """A net on a clock of its own, which every embedded sample moves by some seconds."""

    def __init__(self, sample_s: float, causal: bool = False) -> None:
        super().__init__(causal=causal)
        self.now_s = 0.0
        self._sample_s = sample_s

    def embed(self, part: Tensors, start: int, stop: int) -> Tensor:
        self.now_s += self._sample_s * part["x"].shape[0]
        return super().embed(part, start, stop)

    def clock(self) -> float:
        return self.now_s


def told(plan: str, batch: int, samples_s: list[float], pace: Path | None = None) -> Recorder:
    """What rank 0 recorded of a request in which each rank's samples take so many seconds."""
    parsed, inputs = Plan.parse(plan), {"x": noise(batch, 24, 32)}
    models = [Clocked(seconds) for seconds in samples_s]
    ends = loopback_group(parsed.p, 20.0)
    for model, end in zip(models, ends, strict=True):
        end.tally = Tally(model.clock)
    group: list[Transport] = list(ends)
    if pace is not None:
        group = [Paced(end, pace) for end in ends]
    recorder = Recorder()

    def leader() -> None:
        try:
            lead(models[0], "net", parsed, inputs, group[0], recorder)
        finally:
            group[0].close()

    def worker(rank: int) -> None:
        while True:
            try:
                follow({"net": models[rank]}, group[rank])
            except PeerLostError:
                return

    run_ranks([leader, *(lambda rank=rank: worker(rank) for rank in range(1, parsed.p))])
    return recorder


@pytest.mark.parametrize("paced", [False, True])
@pytest.mark.parametrize("plan", ["split:p=3", "voltage:p=3", "prism:p=3,l=2"])
def test_a_slow_worker_says_that_it_worked(plan: str, paced: bool, tmp_path: Path) -> None:
    pace = None
    if paced:
        pace = tmp_path / "pace.json"
        pace.write_text(json.dumps({"rate_bps": 1e12, "up": True}))
    first, second = told(plan, 3, [1.0, 1.0, 10.0], pace).efforts_of(3)
    assert first is not None
    assert second is not None
    assert 0 < first.busy_s == second.busy_s / 10
    assert first.waited_s == second.waited_s == 0  # their clocks stand while they wait


def test_parts_of_a_plan_are_added_up() -> None:
    """Four samples on three ranks: each answers one alone, and all three share the fourth."""
    whole = told("split+prism:p=3,l=2", 4, [1.0, 1.0, 10.0]).efforts
    alone = told("split:p=3", 3, [1.0, 1.0, 10.0]).efforts
    shared = told("prism:p=3,l=2", 1, [1.0, 1.0, 10.0]).efforts
    for rank in (1, 2):
        assert whole[rank].busy_s == alone[rank].busy_s + shared[rank].busy_s
        assert alone[rank].busy_s > 0
        assert shared[rank].busy_s > 0


def test_of_a_rank_that_sent_nothing_nothing_is_known() -> None:
    found = told("split:p=3,share=1/0/1", 2, [1.0, 1.0, 10.0]).efforts_of(3)
    assert found == [None, Effort(10.0, 0.0)]
    assert Recorder().efforts_of(1) == []


def test_the_next_request_starts_from_nothing() -> None:
    """The worker waits for a header in between, and the leader forgets."""
    worker_model = Clocked(10.0)
    ends = loopback_group(2, 20.0)
    ends[1].tally = Tally(worker_model.clock)
    inputs, found = {"x": noise(2, 24, 32)}, []
    for _ in range(2):
        recorder = Recorder()
        run_ranks(
            [
                lambda recorder=recorder: lead(
                    Net(), "net", Plan.parse("split:p=2"), inputs, ends[0], recorder
                ),
                lambda: follow({"net": worker_model}, ends[1]),
            ]
        )
        found.append(recorder.efforts_of(2))
        worker_model.now_s += 100
    assert found == [[Effort(10.0, 0.0)]] * 2


# over GLOO


class Nets(dict[str, Model]):
    """A net, built where it is needed."""

    def __missing__(self, name: str) -> Model:
        self[name] = Net()
        return self[name]


@pytest.fixture(scope="module")
def store() -> GlooStore:
    return GlooStore(ADDRESS)


@pytest.fixture(scope="module")
def workers(store: GlooStore) -> Iterator[list[Puppet]]:
    with puppets(2, store.port) as started:
        yield started


@pytest.fixture
def group(store: GlooStore, workers: list[Puppet]) -> Iterator[Gloo]:
    """Rank 0 of a group of three, whose workers follow."""
    shape = {"epoch": next(EPOCHS), "size": 3}
    for rank, worker in enumerate(workers, 1):
        worker.settle()
        worker.tell("join", rank=rank, **shape)
    joined = join(store.store, store.port, rank=0, **shape)
    for worker in workers:
        worker.hear()
        worker.tell("follow", Nets())
    yield joined
    joined.close()
    for worker in workers:
        worker.hear()


@pytest.mark.gloo
def test_over_gloo_the_one_with_more_work_says_so(group: Gloo) -> None:
    inputs = {"x": noise(62, 64, 32)}

    def busy_s(plan: str) -> list[float]:
        """How long each worker worked in one request."""
        recorder = Recorder()
        lead(Nets()["net"], "net", Plan.parse(plan), inputs, group, recorder)
        efforts = recorder.efforts_of(3)
        return [effort.busy_s for effort in efforts if effort is not None]

    for plan in ("split:p=3,share=1/1/60", "split:p=3,share=1/60/1"):
        # who shares the cores is kept from working now and then, which only adds to what it says;
        # and kernels warm up in the first
        first, second = (
            min(several) for several in zip(*(busy_s(plan) for _ in range(5)), strict=True)
        )
        assert (first < second) == plan.endswith("1/60")


@pytest.mark.gloo
def test_over_gloo_those_with_less_work_wait(group: Gloo) -> None:
    inputs, plan = {"x": noise(8, 62, 32)}, Plan.parse("voltage:p=3,share=1/1/60")

    def shares() -> tuple[float, float]:
        """How much of their time the one and the other worked."""
        recorder = Recorder()
        lead(Nets()["net"], "net", plan, inputs, group, recorder)
        idle, loaded = recorder.efforts_of(3)
        assert idle is not None
        assert loaded is not None
        assert idle.waited_s > 0
        return idle.busy_s / sum(idle), loaded.busy_s / sum(loaded)

    # who shares the cores may keep any one of them from working in any one request
    assert any(idle < loaded for idle, loaded in (shares() for _ in range(50)))


@pytest.mark.gloo
def test_over_gloo_a_flipped_byte_of_a_frame_is_noticed(group: Gloo) -> None:
    whole = Frame(3, 5, Effort(1.5, 0.25)).pack() + b"12345"
    effort, payload = group.check(1, 3, torch.frombuffer(bytearray(whole), dtype=torch.uint8))
    assert effort == Effort(1.5, 0.25)
    assert payload.numpy().tobytes() == b"12345"
    for at in range(FRAME_BYTES):
        changed = torch.frombuffer(bytearray(whole), dtype=torch.uint8)
        changed[at] ^= 8
        with pytest.raises(OutOfStepError, match=r"rank 0: rank 1 sent .* agreed was message 3 of"):
            group.check(1, 3, changed)
