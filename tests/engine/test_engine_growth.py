"""Two thousand requests leave two engines as large as three hundred did."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import checkpoints
import numpy as np
import pytest

from prism_edge.engine.memory import status_bytes
from prism_edge.profile.engines import local_hosts, start_engines
from prism_edge.settings import ModelSettings

WARM = 300  # requests until every plan and batch has been seen several times
REQUESTS = 2000
EVERY = 100
MIB = 1 << 20
# 617 bytes a request. Measured: 0.14 MiB (leader) and 0.16 MiB (worker) from request 300 to 1900
# (Linux x86-64, glibc, torch 2.13). The smallest input here, kept once a request, is 5 MiB.
ALLOWED_BYTES = 1 * MIB
PLANS = (
    "local",
    "prism:p=2,l=4,dtype=fp16",
    "voltage:p=2,dtype=fp32",
    "split:p=2",
    "prism:p=2,l=4/0,dtype=int8",
    "split+prism:p=2,l=4",
)


def resident_bytes(pid: int) -> int:
    return status_bytes(Path(f"/proc/{pid}/status").read_text(), "VmRSS")


def assert_flat(samples: Sequence[int]) -> None:
    """No sample is larger than the first, up to what is allowed."""
    growth = max(samples) - samples[0]
    assert growth < ALLOWED_BYTES, f"grew by {growth / MIB:.1f} MiB: {samples}"


@pytest.mark.gloo
def test_engines_do_not_grow(tmp_path: Path) -> None:
    path = checkpoints.write(tmp_path / "vit", *checkpoints.vit())
    pixels = np.random.default_rng(0).integers(0, 256, (4, 3, 32, 32), dtype=np.uint8)
    mixed = itertools.cycle(itertools.product(PLANS, (1, 2, 3, 4), (np.uint8, np.float32)))
    with start_engines(local_hosts(2), [ModelSettings(name="vit", path=path)]) as engines:
        engines.join()
        found: list[list[int]] = []
        for number in range(REQUESTS):
            plan, batch, kind = next(mixed)
            inputs = {"pixel_values": pixels[:batch].astype(kind)}
            reply = engines.ask(0, "run", inputs, model="vit", plan=plan)
            assert reply.fields["fallback"] is None
            if number >= WARM and number % EVERY == 0:
                pids = [client.process.pid for client in engines.clients]
                found.append([resident_bytes(pid) for pid in pids])
        for rank in (0, 1):
            assert_flat([sample[rank] for sample in found])
        assert not any(client._waiting for client in engines.clients)
        assert engines._events.empty()


LEAK = """
import sys
kept = []
for line in sys.stdin:
    kept.append(bytes(3 * 32 * 32 * int(line)))
    sys.stdout.write("done\\n")
    sys.stdout.flush()
"""


@pytest.mark.parametrize(("images", "leaks"), [("1", True), ("0", False)])
def test_one_kept_request_in_each_would_be_seen(images: str, leaks: bool) -> None:
    found = []
    with subprocess.Popen(
        [sys.executable, "-c", LEAK], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        for number in range(REQUESTS):
            child.stdin.write(f"{images}\n")
            child.stdin.flush()
            child.stdout.readline()
            if number >= WARM and number % EVERY == 0:
                found.append(resident_bytes(child.pid))
    if not leaks:
        assert_flat(found)
        return
    with pytest.raises(AssertionError, match="grew by"):
        assert_flat(found)
