"""Law 14: what arrives is what was sent, over loopback and over GLOO alike.

Staging between a device and these transports is held by its own tests.
"""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from drawn import embeddings, few, net, some
from hypothesis import given
from hypothesis import strategies as st
from nets import TIMEOUT_S, noise, over_loopback
from puppet import Puppet
from torch import Tensor

from prism_edge.exchange.rows import pack_int8, unpack_int8
from prism_edge.plan import Plan
from prism_edge.request import follow, lead
from prism_edge.spans import Recorder
from prism_edge.transport import Pending
from prism_edge.transport.gloo import Gloo
from prism_edge.transport.loopback import Loopback, loopback_group, run_ranks

DTYPES = [torch.float32, torch.float16, torch.bfloat16, torch.int16, torch.uint8]


@st.composite
def tensors(draw: st.DrawFn) -> Tensor:
    """Any dtype and size, transposed or not: odd sizes too, which no alignment helps."""
    rows, width = draw(st.integers(1, 40)), draw(st.integers(1, 300))
    x = (noise(rows, width, seed=draw(st.integers(0, 99))) * 50).to(draw(st.sampled_from(DTYPES)))
    return x.t() if draw(st.booleans()) else x


def as_bytes(x: Tensor) -> bytes:
    return x.contiguous().view(-1).view(torch.uint8).numpy().tobytes()


def sent_from_one_buffer(end: Loopback | Gloo, several: list[Tensor], *, to: int) -> list[Pending]:
    """Every tensor is written over as soon as it has been handed to the transport."""
    buffer = torch.empty(max(len(as_bytes(x)) for x in several), dtype=torch.uint8)
    pending = []
    for x in several:
        data = as_bytes(x)
        buffer[: len(data)] = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        pending.append(end.begin({to: buffer[: len(data)]}, {}))
    buffer.fill_(255)
    return pending


@some
@given(several=st.lists(tensors(), min_size=1, max_size=5))
def test_law_14_loopback_delivers_what_was_sent(several: list[Tensor]) -> None:
    a, b = loopback_group(2, TIMEOUT_S)
    sent_from_one_buffer(a, several, to=1)
    for x in several:
        size = len(as_bytes(x))
        assert as_bytes(b.begin({}, {0: size}).wait()[0]) == as_bytes(x)
    assert a.sent_bytes == sum(len(as_bytes(x)) for x in several)


@pytest.mark.gloo
def test_law_14_gloo_delivers_what_was_sent(pair: Gloo, law_workers: list[Puppet]) -> None:
    """Several messages are under way both ways at once; here one group serves all examples."""

    @some
    @given(ours=st.lists(tensors(), min_size=1, max_size=5), theirs=tensors())
    def delivered(ours: list[Tensor], theirs: Tensor) -> None:
        before = pair.sent_bytes
        law_workers[0].tell("begin", {0: [as_bytes(theirs)]}, {})
        arriving = pair.begin({}, {1: len(as_bytes(theirs))})
        pending = sent_from_one_buffer(pair, ours, to=1)
        assert as_bytes(arriving.wait()[1]) == as_bytes(theirs)
        law_workers[0].hear()
        for x in ours:
            heard = law_workers[0].ask("begin", {}, {0: len(as_bytes(x))})
            assert heard == {0: as_bytes(x)}
        for message in pending:
            message.wait()
        assert pair.sent_bytes - before == sum(len(as_bytes(x)) for x in ours)

    delivered()


class Careless(Loopback):
    """It keeps what it is given, instead of a copy."""

    def begin(self, sends: Mapping[int, Tensor], receives: Mapping[int, int]) -> Pending:
        for rank, tensor in sends.items():
            self._mail[self.rank, rank].put((self.tally.effort(), tensor))
        return super().begin({}, receives)


@pytest.mark.parametrize("several", [[noise(4, 6), noise(4, 6, seed=2)], [noise(3, 5)]])
def test_law_14_control_a_send_buffer_used_again(several: list[Tensor]) -> None:
    a, b = loopback_group(2, TIMEOUT_S)
    careless = Careless(0, 2, a._mail, TIMEOUT_S)
    sent_from_one_buffer(careless, several, to=1)
    for x in several:
        size = len(as_bytes(x))
        assert as_bytes(b.begin({}, {0: size}).wait()[0]) != as_bytes(x)


class Flipping(Loopback):
    """One bit of one message is another one when it arrives."""

    flip_in = 0  # messages from now

    def begin(self, sends: Mapping[int, Tensor], receives: Mapping[int, int]) -> Pending:
        if sends:
            self.flip_in -= 1
        if sends and self.flip_in == 0:
            sends = {rank: x.contiguous().view(-1).view(torch.uint8) for rank, x in sends.items()}
            for payload in sends.values():
                payload[payload.numel() // 2] ^= 64
        return super().begin(sends, receives)


@pytest.mark.parametrize("plan", ["prism:p=2,l=3", "voltage:p=2", "prism:p=2,l=3,dtype=int8"])
def test_law_14_control_one_flipped_bit_of_one_message(plan: str) -> None:
    """The answers of a request are compared bit for bit: any of its messages shows."""
    one, inputs = net(), {"x": embeddings(24)}
    expected = over_loopback(one, plan, inputs)[0]["rows"]
    for message in (0, 1, 2, 3):  # 0: none
        group = loopback_group(2, TIMEOUT_S)
        worker = Flipping(1, 2, group[0]._mail, TIMEOUT_S)
        worker.flip_in = message
        found, _ = run_ranks(
            [
                lambda group=group: lead(
                    one, "net", Plan.parse(plan), inputs, group[0], Recorder()
                )["rows"],
                lambda worker=worker: follow({"net": one}, worker),
            ]
        )
        assert torch.equal(found, expected) == (message == 0)


# int8: a row's largest value is 127 steps, and nothing is further off than half a step

values = st.floats(-1e4, 1e4, width=32).filter(lambda value: value == 0 or abs(value) > 1e-30)


def largest_excess(rows: Tensor, arrived: Tensor) -> float:
    """By how much the worst element is further off than half a step of its row; rounding of fp32
    is granted."""
    step = rows.double().abs().amax(dim=-1, keepdim=True) / 127
    off = (arrived.double() - rows.double()).abs()
    return float((off - step * (0.5 + 1e-5)).max())


def over_the_wire(rows: Tensor) -> Tensor:
    return unpack_int8(pack_int8(rows), tuple(rows.shape))


@some
@given(
    drawn=st.lists(st.lists(values, min_size=6, max_size=6), min_size=1, max_size=4),
    dtype=st.sampled_from([torch.float32, torch.float16]),
)
def test_law_14_int8_is_off_by_half_a_step_at_most(
    drawn: list[list[float]], dtype: torch.dtype
) -> None:
    rows = torch.tensor([drawn]).to(dtype)
    assert largest_excess(rows, over_the_wire(rows)) <= 0


@few
@given(seed=st.integers(0, 99), flipped=st.integers(0, 6 * 32 - 1))
def test_law_14_control_int8_with_a_flipped_bit_or_one_scale_for_all(
    seed: int, flipped: int
) -> None:
    rows = noise(1, 6, 32, seed=seed) * torch.tensor([1.0, 9, 1, 1, 1, 30])[None, :, None]
    assert largest_excess(rows, over_the_wire(rows)) <= 0
    payload = pack_int8(rows)
    payload[6 * 4 + flipped] ^= 64  # behind the six scales
    assert largest_excess(rows, unpack_int8(payload, (1, 6, 32))) > 0
    shared = over_the_wire(rows.reshape(1, 1, -1)).reshape(rows.shape)
    assert largest_excess(rows, shared) > 0
