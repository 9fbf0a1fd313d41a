"""A daemon under 10,000 malformed requests: refuses them, keeps nothing of them, goes on."""

from __future__ import annotations

import contextlib
import os
import random
import socket
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from checkpoints import vit, write
from daemons import PATIENCE_S, Serving, serving, until
from fuzz import request

from prism_edge.serve.openapi import ERRORS

pytestmark = [pytest.mark.gloo, pytest.mark.slow]
REQUESTS = 10_000
PIXELS = np.random.default_rng(1).integers(0, 256, (1, 3, 32, 32), dtype=np.uint8)
VALID: dict[str, object] = {
    "id": "1",
    "inputs": [
        {"name": "pixel_values", "shape": [1, 3, 32, 32], "datatype": "UINT8", "data": [0] * 3072}
    ],
    "outputs": [{"name": "logits", "parameters": {"binary_data": True}}],
    "parameters": {"plan": "local", "timeout": 1_000_000},
}
DOCUMENTED = {200, 405, 501, *ERRORS} - {500}
LEAK_BYTES = 48 << 20  # far below what 10,000 leaked requests of a few KB and their tasks take


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Serving]:
    model = write(tmp_path / "vit", *vit())
    argv = ["--model", f"net={model}", "--port", "0", "--journal", str(tmp_path / "j.sqlite")]
    with serving(*argv) as found:
        yield found.until_ready()


def files(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def threads(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/task"))


def memory_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def answer(port: int, sent: bytes) -> int | None:
    """The status; None where the connection was closed without one."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as connection:
        received = b""
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            while piece := connection.recv(1 << 16):
                received += piece
    return int(received.split(b" ", 2)[1]) if received else None


@pytest.mark.timeout(600)
def test_nothing_crashes_and_nothing_leaks(daemon: Serving) -> None:
    pid, engine = daemon.process.pid, daemon.engine()
    expected = daemon.infer("net", {"pixel_values": PIXELS}).outputs["logits"]
    seen: Counter[int | None] = Counter()
    rng = random.Random(2026)
    for _ in range(REQUESTS // 10):  # until caches and pools are as large as they get
        seen[answer(daemon.port, request(rng, "net", VALID))] += 1
    before = memory_bytes(pid)
    held, running = files(pid), threads(pid)
    for _ in range(REQUESTS - REQUESTS // 10):
        seen[answer(daemon.port, request(rng, "net", VALID))] += 1
    assert set(seen) - {None} <= DOCUMENTED, (seen, daemon.log()[-3000:])
    assert {200, 400, 404, 405, 415} <= set(seen), seen
    until(lambda: files(pid) <= held + 3, f"{held} open files, not {files(pid)}")
    assert threads(pid) <= running + 4
    assert memory_bytes(pid) - before < LEAK_BYTES
    assert daemon.process.poll() is None
    assert daemon.engine() == engine  # the same one
    found = daemon.infer("net", {"pixel_values": PIXELS}).outputs["logits"]
    assert np.array_equal(found, expected)
    assert "Traceback" not in daemon.log()
