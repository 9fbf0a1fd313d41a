"""The emulated link carries messages one after another, changes nothing else, and can be cut."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import torch
from nets import noise

from prism_edge.errors import PeerLostError
from prism_edge.transport.loopback import loopback_group
from prism_edge.transport.paced import Paced
from prism_edge.transport.staging import HOST


def pace(path: Path, *, rate_bps: float, up: bool = True) -> Path:
    path.write_text(json.dumps({"rate_bps": rate_bps, "up": up}))
    return path


def paced_pair(path: Path) -> tuple[Paced, Paced]:
    first, second = loopback_group(2, timeout_s=20.0)
    return Paced(first, path), Paced(second, path)


def test_a_message_leaves_when_the_link_has_carried_it(tmp_path: Path) -> None:
    """1000 bytes in 0.1 s: sooner neither is it there nor does its sender's wait end."""
    a, b = paced_pair(pace(tmp_path / "pace.json", rate_bps=80_000))
    start_s = time.monotonic()
    leaving = a.begin({1: noise(250)}, {})
    arriving = b.begin({}, {0: 1000})
    assert arriving.wait()[0].numel() == 1000
    assert time.monotonic() - start_s >= 0.1
    leaving.wait()
    again_s = time.monotonic()
    a.begin({1: noise(250)}, {}).wait()
    assert time.monotonic() - again_s >= 0.1


def test_messages_of_one_rank_leave_one_after_another(tmp_path: Path) -> None:
    a, b = paced_pair(pace(tmp_path / "pace.json", rate_bps=80_000))
    ahead = [b.begin({}, {0: 500}) for _ in range(3)]
    start_s = time.monotonic()
    leaving = [a.begin({1: torch.full((500,), fill, dtype=torch.uint8)}, {}) for fill in range(3)]
    for turn, pending in enumerate(ahead):
        assert int(pending.wait()[0][0]) == turn
        assert time.monotonic() - start_s >= 0.05 * (turn + 1)
    for message in leaving:
        message.wait()


def test_a_message_to_several_ranks_takes_the_link_once_for_each(tmp_path: Path) -> None:
    link = pace(tmp_path / "pace.json", rate_bps=80_000)
    ends = [Paced(end, link) for end in loopback_group(3, timeout_s=20.0)]
    start_s = time.monotonic()
    ends[0].begin({1: noise(125), 2: noise(125)}, {}).wait()
    assert time.monotonic() - start_s >= 0.1
    assert ends[2].begin({}, {0: 500}).wait()[0].numel() == 500


def test_every_rank_has_a_link_of_its_own_and_leaving_frees_it(tmp_path: Path) -> None:
    """What one sends does not wait for what the other sends; the rate is read at each message."""
    link = pace(tmp_path / "pace.json", rate_bps=16)
    a, b = paced_pair(link)
    a.begin({1: noise(4)}, {})  # takes eight seconds
    waiting = a.begin({1: noise(4)}, {})  # behind it
    pace(link, rate_bps=1e12)
    b.begin({0: noise(250)}, {}).wait()
    assert a.begin({}, {1: 1000}).wait()[1].numel() == 1000
    a.close()
    with pytest.raises(PeerLostError, match="rank 0: the group was left meanwhile"):
        waiting.wait()
    with pytest.raises(PeerLostError, match="rank 0: has left the group"):
        a.begin({1: noise(4)}, {})


def test_payloads_and_counts_are_those_of_the_transport_inside(tmp_path: Path) -> None:
    a, b = paced_pair(pace(tmp_path / "pace.json", rate_bps=1e12))
    x = noise(9)
    a.begin({1: x}, {}).wait()
    assert torch.equal(b.begin({}, {0: 36}).wait()[0].view(torch.float32), x)
    assert (a.sent_bytes, b.sent_bytes) == (36, 0)
    assert (a.rank, b.rank, a.size) == (0, 1, 2)
    assert a.staging is HOST
    a.close()
    with pytest.raises(PeerLostError, match="rank 0 has left"):
        b.begin({}, {0: 4}).wait()


def test_a_link_that_is_down_is_a_loss(tmp_path: Path) -> None:
    link = pace(tmp_path / "pace.json", rate_bps=1e12, up=False)
    a, _ = paced_pair(link)
    with pytest.raises(PeerLostError, match="rank 0: its emulated link is down"):
        a.begin({1: noise(1)}, {})
    assert a.sent_bytes == 0
