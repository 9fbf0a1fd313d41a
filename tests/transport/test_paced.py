"""The emulated link takes its time, changes nothing else, and can be cut."""

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


def pace(path: Path, *, rate_bps: float, up: bool = True) -> Path:
    path.write_text(json.dumps({"rate_bps": rate_bps, "up": up}))
    return path


def paced_pair(path: Path) -> tuple[Paced, Paced]:
    first, second = loopback_group(2, timeout_s=20.0)
    return Paced(first, path), Paced(second, path)


def test_a_wait_lasts_at_least_as_long_as_the_bytes_take(tmp_path: Path) -> None:
    link = pace(tmp_path / "pace.json", rate_bps=80_000)
    a, b = paced_pair(link)
    b.begin({0: noise(250)}, {})
    for sends, receives in ({1: noise(250)}, {}), ({}, {1: 1000}):  # 1000 bytes either way: 0.1 s
        start_s = time.monotonic()
        a.begin(sends, receives).wait()
        assert time.monotonic() - start_s >= 0.1


def test_both_directions_travel_at_once(tmp_path: Path) -> None:
    """Full duplex: the larger of the two decides. The rate is read anew for every message."""
    link = pace(tmp_path / "pace.json", rate_bps=1e12)
    a, b = paced_pair(link)
    b.begin({0: noise(250)}, {})
    pace(link, rate_bps=80_000)
    start_s = time.monotonic()
    pending = a.begin({1: noise(125)}, {1: 1000})
    pace(link, rate_bps=1e12)
    pending.wait()
    assert time.monotonic() - start_s >= 0.1


def test_payloads_and_counts_are_those_of_the_transport_inside(tmp_path: Path) -> None:
    a, b = paced_pair(pace(tmp_path / "pace.json", rate_bps=1e12))
    x = noise(9)
    a.begin({1: x}, {}).wait()
    assert torch.equal(b.begin({}, {0: 36}).wait()[0].view(torch.float32), x)
    assert (a.sent_bytes, b.sent_bytes) == (36, 0)
    assert (a.rank, b.rank, a.size) == (0, 1, 2)
    a.close()
    with pytest.raises(PeerLostError, match="rank 0 has left"):
        b.begin({}, {0: 4}).wait()


def test_a_link_that_is_down_is_a_loss(tmp_path: Path) -> None:
    link = pace(tmp_path / "pace.json", rate_bps=1e12, up=False)
    a, _ = paced_pair(link)
    with pytest.raises(PeerLostError, match="rank 0: its emulated link is down"):
        a.begin({1: noise(1)}, {})
    assert a.sent_bytes == 0
