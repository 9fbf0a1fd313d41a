"""The transport without a network behaves as the one with: frames, losses, waits."""

from __future__ import annotations

import threading
import time

import pytest
import torch
from nets import noise
from torch import Tensor

from prism_edge.errors import OutOfStepError, PeerLostError
from prism_edge.transport.loopback import Loopback, loopback_group, run_ranks


def raw(data: bytes) -> Tensor:
    return torch.frombuffer(bytearray(data), dtype=torch.uint8)


def as_bytes(payload: Tensor) -> bytes:
    return payload.numpy().tobytes()


def test_payloads_arrive_in_order_and_by_source() -> None:
    a, b, c = loopback_group(3)
    a.begin({2: raw(b"first")}, {})
    a.begin({2: raw(b"next")}, {})
    b.begin({2: raw(b"other")}, {}).wait()
    found = c.begin({}, {1: 5, 0: 5}).wait()
    assert {rank: as_bytes(payload) for rank, payload in found.items()} == {
        0: b"first",
        1: b"other",
    }
    assert as_bytes(c.begin({}, {0: 4}).wait()[0]) == b"next"


def test_receives_may_be_asked_for_ahead() -> None:
    """Each gets the message of its turn, whenever it was sent and whichever is waited for first."""
    a, b, c = loopback_group(3, timeout_s=20.0)
    early = [c.begin({}, {0: 3}), c.begin({}, {0: 5, 1: 4})]
    a.begin({2: raw(b"one")}, {})
    late = c.begin({}, {0: 4})
    b.begin({2: raw(b"side")}, {})
    a.begin({2: raw(b"three")}, {})
    a.begin({2: raw(b"last")}, {})
    assert as_bytes(late.wait()[0]) == b"last"
    assert as_bytes(early[0].wait()[0]) == b"one"
    found = early[1].wait()
    assert {rank: as_bytes(payload) for rank, payload in found.items()} == {
        0: b"three",
        1: b"side",
    }


def test_what_is_sent_is_what_it_was_when_sent() -> None:
    a, b = loopback_group(2)
    tensor = noise(4)
    expected = tensor.clone()
    a.begin({1: tensor}, {}).wait()
    tensor.zero_()  # the sender goes on to use its memory
    received = b.begin({}, {0: 16}).wait()[0].view(torch.float32)
    assert torch.equal(received, expected)
    assert not torch.equal(received, tensor)


def test_any_dtype_and_stride_travels() -> None:
    a, b = loopback_group(2)
    x = noise(3, 4, 5)
    for tensor in (x, x.half(), x.transpose(0, 2), x.to(torch.int16), x[:, 1:3]):
        a.begin({1: tensor}, {})
        size = tensor.numel() * tensor.element_size()
        payload = b.begin({}, {0: size}).wait()[0].view(tensor.dtype)
        assert torch.equal(payload.view(tensor.shape), tensor)


def test_payload_bytes_are_counted_where_they_are_sent() -> None:
    a, b = loopback_group(2)
    a.begin({1: noise(5)}, {})
    a.begin({1: noise(5).half()}, {})
    b.begin({}, {0: 20}).wait()
    assert (a.sent_bytes, b.sent_bytes) == (30, 0)


@pytest.mark.parametrize("agreed", [3, 5])
def test_a_message_of_another_size_is_out_of_step(agreed: int) -> None:
    a, b = loopback_group(2)
    a.begin({1: raw(b"1234")}, {})
    with pytest.raises(OutOfStepError, match=f"rank 0 sent 4 bytes, agreed were {agreed}"):
        b.begin({}, {0: agreed}).wait()


def test_silence_is_a_loss() -> None:
    _, b = loopback_group(2, timeout_s=0.05)
    with pytest.raises(PeerLostError, match=r"rank 1: nothing from rank 0 within 0\.05 s"):
        b.begin({}, {0: 4}).wait()


def test_a_wait_can_be_given_its_own_limit() -> None:
    _, b = loopback_group(2, timeout_s=3600.0)
    start_s = time.monotonic()
    with pytest.raises(PeerLostError, match=r"nothing from rank 0 within 0\.05 s"):
        b.begin({}, {0: 4}).wait(0.05)
    assert time.monotonic() - start_s < 60


def test_leaving_is_noticed_after_what_was_sent_before() -> None:
    a, b, c = loopback_group(3)
    a.begin({1: raw(b"last")}, {})
    a.close()
    assert as_bytes(b.begin({}, {0: 4}).wait()[0]) == b"last"
    for other in (b, c):
        with pytest.raises(PeerLostError, match="rank 0 has left"):
            other.begin({}, {0: 4}).wait()


def test_abort_wakes_the_one_that_waits_and_nobody_else() -> None:
    a, b = loopback_group(2)
    caught: list[str] = []

    def wait() -> None:
        with pytest.raises(PeerLostError) as lost:
            b.begin({}, {0: 4}).wait()
        caught.append(str(lost.value))

    waiter = threading.Thread(target=wait)
    waiter.start()
    b.abort()
    waiter.join(timeout=30)
    assert len(caught) == 1
    b.begin({0: raw(b"here")}, {})
    assert as_bytes(a.begin({}, {1: 4}).wait()[1]) == b"here"


def test_run_ranks_gives_results_by_rank_and_raises_the_first_error() -> None:
    group = loopback_group(2)

    def swap(end: Loopback) -> bytes:
        other = 1 - end.rank
        return as_bytes(end.begin({other: raw(b"from%d" % end.rank)}, {other: 5}).wait()[other])

    assert run_ranks([lambda end=end: swap(end) for end in group]) == [b"from1", b"from0"]

    def fail() -> bytes:
        raise PeerLostError("of our own")

    with pytest.raises(PeerLostError, match="of our own"):
        run_ranks([lambda: b"", fail])
