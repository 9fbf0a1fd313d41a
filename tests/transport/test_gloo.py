"""GLOO between real processes: what it delivers, and how a loss shows.

The other ranks are puppets: processes that stay and do what each test tells them.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
import torch
import torch.distributed as dist
from nets import Net, noise, over_loopback, padding
from puppet import ADDRESS, PATIENCE_S, Puppet, Refused, join, puppets
from torch import Tensor

from prism_edge.errors import ClusterError, OutOfStepError, PeerLostError
from prism_edge.families.model import Model
from prism_edge.plan import Plan
from prism_edge.request import lead
from prism_edge.spans import Recorder
from prism_edge.transport.gloo import Gloo, GlooStore, gloo_available
from prism_edge.transport.loopback import loopback_group
from prism_edge.transport.staging import Plain

pytestmark = pytest.mark.gloo

EPOCHS = count(1)  # every group of this module has an epoch of its own
SOON_S = 20.0  # far less than the patience of the groups, far more than a busy machine needs


@pytest.fixture(scope="module")
def store() -> GlooStore:
    return GlooStore(ADDRESS)


@pytest.fixture(scope="module")
def workers(store: GlooStore) -> Iterator[list[Puppet]]:
    with puppets(2, store.port) as started:
        yield started


def form(store: GlooStore, workers: list[Puppet], **options: Any) -> Gloo:
    """Rank 0 of a new group with these workers."""
    shape = {"epoch": next(EPOCHS), "size": 1 + len(workers)}
    for rank, worker in enumerate(workers, 1):
        worker.settle()
        worker.tell("join", rank=rank, **shape)
    group = join(store.store, store.port, rank=0, **shape, **options)
    for worker in workers:
        worker.hear()
    return group


@pytest.fixture
def pair(store: GlooStore, workers: list[Puppet]) -> Iterator[Gloo]:
    """Rank 0 of a group of two; ``workers[0]`` is rank 1."""
    group = form(store, workers[:1])
    yield group
    group.close()


def as_bytes(payload: Tensor) -> bytes:
    return payload.numpy().tobytes()


def raw(data: bytes) -> Tensor:
    return torch.frombuffer(bytearray(data), dtype=torch.uint8)


def test_this_machine_can_run_these_tests() -> None:
    assert gloo_available()


# what is delivered


@pytest.mark.parametrize("size", [1, 15, 16, 17, 4096, 3_000_001])
def test_payloads_arrive_as_they_left(pair: Gloo, workers: list[Puppet], size: int) -> None:
    ours, theirs = os.urandom(size), os.urandom(size)
    workers[0].tell("begin", {0: [theirs]}, {0: size})
    pending = pair.begin({1: raw(ours)}, {1: size})
    assert as_bytes(pending.wait()[1]) == theirs
    assert workers[0].hear() == {0: ours}
    assert pair.sent_bytes == workers[0].ask("sent_bytes") == size


def test_any_dtype_and_stride_travels(pair: Gloo, workers: list[Puppet]) -> None:
    x = noise(3, 4, 5)
    for tensor in (x, x.half(), x.transpose(0, 2), x.to(torch.int16), x[:, 1:3]):
        size = tensor.numel() * tensor.element_size()
        workers[0].tell("begin", {}, {0: size})
        pair.begin({1: tensor}, {}).wait()
        assert workers[0].hear() == {0: as_bytes(tensor.contiguous())}


def test_loopback_delivers_the_same(pair: Gloo, workers: list[Puppet]) -> None:
    tensor, twin = noise(7, 9).half(), loopback_group(2)
    twin[0].begin({1: tensor}, {}).wait()
    workers[0].tell("begin", {}, {0: 126})
    pair.begin({1: tensor}, {}).wait()
    delivered = as_bytes(twin[1].begin({}, {0: 126}).wait()[0])
    assert workers[0].hear() == {0: delivered}
    assert pair.sent_bytes == twin[0].sent_bytes == 126


def test_messages_of_one_size_do_not_share_a_buffer(pair: Gloo, workers: list[Puppet]) -> None:
    """Both are under way at once, and too large for the kernel to take before we write the next."""
    size = 8 << 20
    several = [bytes([letter]) * size for letter in b"abc"]
    pending = [pair.begin({1: raw(data)}, {}) for data in several]
    for data in several:
        assert workers[0].ask("begin", {}, {0: size}) == {0: data}
    for message in pending:
        message.wait()


def test_receives_may_be_asked_for_ahead(pair: Gloo, workers: list[Puppet]) -> None:
    """Each gets the message of its turn, sent before or after, whichever is waited for first."""
    several = [b"one", b"three", b"?", b"x" * 100_000, b"last"]
    ahead = [pair.begin({}, {1: len(data)}) for data in several[:3]]
    workers[0].tell("begin", {0: several}, {})
    ahead += [pair.begin({}, {1: len(data)}) for data in several[3:]]
    for turn in (1, 0, 2, 4, 3):
        assert as_bytes(ahead[turn].wait()[1]) == several[turn]
    workers[0].hear()


def test_a_payload_is_valid_until_the_next_one_was_waited_for(
    pair: Gloo, workers: list[Puppet]
) -> None:
    """Asking for the next ones does not touch it; their buffers are others."""
    workers[0].tell("begin", {0: [b"first", b"other"]}, {})
    first = pair.begin({}, {1: 5}).wait()[1]
    following = [pair.begin({}, {1: 5}) for _ in range(3)]
    workers[0].hear()
    assert as_bytes(first) == b"first"
    workers[0].ask("begin", {0: [b"third", b"fifth"]}, {})
    assert as_bytes(first) == b"first"
    found = [as_bytes(pending.wait()[1]) for pending in following]
    assert found == [b"other", b"third", b"fifth"]


def test_payloads_stay_valid_while_other_ranks_send(
    store: GlooStore, workers: list[Puppet]
) -> None:
    group = form(store, workers)
    workers[0].tell("begin", {0: [b"one!"]}, {})
    first = group.begin({}, {1: 4}).wait()[1]
    workers[1].tell("begin", {0: [b"two!"]}, {})
    second = group.begin({}, {2: 4}).wait()[2]
    assert (as_bytes(first), as_bytes(second)) == (b"one!", b"two!")
    for worker in workers:
        worker.hear()
    group.close()


class Nets(dict[str, Model]):
    """Nets by name, built where they are needed."""

    def __missing__(self, name: str) -> Model:
        self[name] = Net(causal=name == "causal", lead=1)
        return self[name]


def test_requests_are_answered_bit_for_bit_as_over_loopback(
    store: GlooStore, workers: list[Puppet]
) -> None:
    group = form(store, workers)
    for worker in workers:
        worker.tell("follow", Nets())
    inputs = {"x": noise(3, 24, 32), "real": padding([24, 11, 1], 24)}
    sent = [0, 0, 0]
    plans = ["split:p=3", "split:p=3,share=2/0/1", "voltage:p=2", "voltage:p=3,dtype=fp16"]
    plans += ["prism:p=2,l=3", "prism:p=3,l=2,dtype=fp16", "prism:p=3,l=8"]
    plans += ["prism:p=2,l=3/0/2/1,dtype=int8,tap=before,share=2/1,pieces=2"]
    plans += ["split+prism:p=2,l=3"]
    for name in ("plain", "causal"):
        for plan in plans:
            found = lead(Nets()[name], name, Plan.parse(plan), inputs, group, Recorder())
            expected, twins = over_loopback(Nets()[name], plan, inputs)
            assert torch.equal(found["rows"], expected["rows"]), (name, plan)
            for twin in twins:
                sent[twin.rank] += twin.sent_bytes
    group.close()
    for worker in workers:
        assert "lost rank 0" in worker.hear()
    assert [group.sent_bytes, *(worker.ask("sent_bytes") for worker in workers)] == sent


class Counted(Plain):
    """Host memory whose allocations are counted."""

    def __init__(self) -> None:
        super().__init__(torch.device("cpu"))
        self.made = 0

    def empty(self, size: int) -> Tensor:
        self.made += 1
        return super().empty(size)


def test_requests_that_repeat_allocate_no_buffers(store: GlooStore, workers: list[Puppet]) -> None:
    memory = Counted()
    group = form(store, workers, staging=memory)
    for worker in workers:
        worker.tell("follow", Nets())
    plans = ["prism:p=3,l=2,dtype=fp16", "prism:p=3,l=2/0/3/1,dtype=int8", "voltage:p=3"]
    inputs = {"x": noise(3, 24, 32)}

    def ask() -> int:
        for name in ("plain", "causal"):
            for plan in plans:
                lead(Nets()[name], name, Plan.parse(plan), inputs, group, Recorder())
        return memory.made

    first = ask()
    assert first > 0
    assert [ask() for _ in range(3)] == [first] * 3
    longer = {"x": noise(64, 24, 32)}  # the control
    lead(Nets()["plain"], "plain", Plan.parse("voltage:p=3"), longer, group, Recorder())
    assert memory.made > first
    group.close()
    for worker in workers:
        worker.hear()


# what was not agreed on


def test_a_message_shorter_than_agreed_is_noticed(pair: Gloo, workers: list[Puppet]) -> None:
    workers[0].tell("begin", {0: [b"x" * 100]}, {})
    with pytest.raises(
        OutOfStepError, match=r"rank 1 sent message 0 of 100 bytes, .* message 0 of 400"
    ):
        pair.begin({}, {1: 400}).wait()
    workers[0].hear()


def test_a_lost_message_is_noticed_by_its_successor(pair: Gloo, workers: list[Puppet]) -> None:
    workers[0].tell("begin", {0: [b"1234"]}, {})
    assert as_bytes(pair.begin({}, {1: 4}).wait()[1]) == b"1234"
    workers[0].hear()
    workers[0].ask("skip", 0)
    workers[0].tell("begin", {0: [b"5678"]}, {})
    with pytest.raises(OutOfStepError, match="message 2 of 4 bytes, agreed was message 1 of 4"):
        pair.begin({}, {1: 4}).wait()
    workers[0].hear()


# losses


def test_silence_ends_in_a_loss(store: GlooStore, workers: list[Puppet]) -> None:
    group = form(store, workers[:1], timeout_s=0.2)
    with pytest.raises(PeerLostError, match="lost rank 1"):
        group.begin({}, {1: 4}).wait()
    group.close()


def test_a_wait_can_be_given_its_own_limit(pair: Gloo) -> None:
    start_s = time.monotonic()
    with pytest.raises(PeerLostError, match="lost rank 1"):
        pair.begin({}, {1: 4}).wait(0.2)
    assert time.monotonic() - start_s < SOON_S


def test_a_killed_peer_is_noticed_at_once_and_the_next_epoch_works(
    store: GlooStore, workers: list[Puppet]
) -> None:
    with puppets(1, store.port) as victims:
        group = form(store, victims)
        pending = group.begin({}, {1: 4})
        victims[0].kill()
        start_s = time.monotonic()
        with pytest.raises(PeerLostError, match="lost rank 1"):
            pending.wait()
        assert time.monotonic() - start_s < SOON_S < PATIENCE_S
        with pytest.raises(PeerLostError):
            group.begin({1: raw(b"1234")}, {1: 4}).wait()
        group.close()
    again = form(store, workers[:1])
    workers[0].tell("begin", {0: [b"back"]}, {})
    assert as_bytes(again.begin({}, {1: 4}).wait()[1]) == b"back"
    workers[0].hear()
    again.close()


def test_a_survivor_of_three_notices_too(store: GlooStore, workers: list[Puppet]) -> None:
    with puppets(1, store.port) as victims:
        group = form(store, [workers[0], *victims])
        workers[0].tell("begin", {}, {2: 4})
        victims[0].kill()
        with pytest.raises(Refused, match="PeerLostError: rank 1: lost rank 2"):
            workers[0].hear()
        group.close()


def test_abort_wakes_a_blocked_wait(pair: Gloo) -> None:
    caught: list[PeerLostError] = []

    def wait() -> None:
        with pytest.raises(PeerLostError) as lost:
            pair.begin({}, {1: 4}).wait()
        caught.append(lost.value)

    waiter = threading.Thread(target=wait)
    waiter.start()
    start_s = time.monotonic()
    while waiter.is_alive() and time.monotonic() - start_s < SOON_S:
        pair.abort()
        waiter.join(timeout=0.05)
    assert not waiter.is_alive()
    assert len(caught) == 1


def test_leaving_is_noticed_by_the_others(pair: Gloo, workers: list[Puppet]) -> None:
    workers[0].tell("begin", {}, {0: 4})
    pair.close()
    with pytest.raises(Refused, match="PeerLostError: rank 1: lost rank 0"):
        workers[0].hear()


# rendezvous


def test_a_group_nobody_joins_is_refused_in_time(store: GlooStore) -> None:
    start_s = time.monotonic()
    with pytest.raises(ClusterError, match=f"rank 0 at {ADDRESS}: no group of 2 within 0.3 s"):
        join(store.store, store.port, epoch=next(EPOCHS), rank=0, size=2, join_timeout_s=0.3)
    assert time.monotonic() - start_s < SOON_S


@pytest.mark.parametrize("address", ["192.0.2.1", "not.an.address.invalid"])
def test_an_address_of_another_machine_is_refused(store: GlooStore, address: str) -> None:
    with pytest.raises(ClusterError, match=f"cannot listen on {address}"):
        GlooStore(address)
    options = {"epoch": next(EPOCHS), "rank": 0, "size": 2, "join_timeout_s": 0.3}
    with pytest.raises(ClusterError, match=address):
        join(store.store, store.port, address=address, **options)


def listening() -> set[str]:
    """Addresses on which this process listens, as the kernel writes them (hexadecimal)."""
    inodes = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{name}")
        except OSError:  # the listing's own descriptor
            continue
        if target.startswith("socket:["):
            inodes.add(target[len("socket:[") : -1])
    found = set()
    for table in ("/proc/self/net/tcp", "/proc/self/net/tcp6"):
        with open(table) as lines:
            fields = [line.split() for line in lines][1:]
        found |= {row[1].split(":")[0] for row in fields if row[3] == "0A" and row[9] in inodes}
    return found


def test_only_the_declared_address_listens(store: GlooStore) -> None:
    before = listening()
    assert before == {"0100007F"}  # 127.0.0.1, the store of this module
    elsewhere = GlooStore("127.0.0.2")
    alone = join(elsewhere.store, elsewhere.port, epoch=1, rank=0, size=1, address="127.0.0.3")
    assert listening() == {*before, "0200007F", "0300007F"}
    alone.close()
    everywhere = dist.TCPStore("127.0.0.2", 0, is_master=True, wait_for_workers=False)
    assert listening() - {*before, "0200007F", "0300007F"} != set()
    del everywhere
