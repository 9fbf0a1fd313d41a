"""A daemon of this machine's own for as long as somebody asks it."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from prism_edge.cluster.local import LocalHost, kill_group
from prism_edge.errors import ClusterError

READY_S = 120.0  # imports and loads a model
STOP_S = 30.0
MARKER = "serving on "


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a daemon answers; ``agent``: its process, if it is one of this machine's."""

    url: str
    agent: int | None = None


@contextmanager
def own_daemon(model: str, directory: Path) -> Iterator[Place]:
    """A daemon on loopback that serves the model alone, ready; it is gone afterwards.

    Raises ``ClusterError`` with its last words when it does not become ready.
    """
    with tempfile.TemporaryDirectory(prefix="prism-edge-bench-") as work:
        log = Path(work) / "log"
        with log.open("wb") as file:
            process = LocalHost(name="here").popen(
                [
                    *(sys.executable, "-m", "prism_edge", "serve", "--port", "0"),
                    *("--model", f"{model}={directory}"),
                    *("--journal", str(Path(work) / "journal.sqlite")),
                ],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
            )
        try:
            yield Place(url=_ready(process, log), agent=process.pid)
            process.terminate()
            process.wait(STOP_S)
        finally:
            kill_group(process)


def _ready(process: subprocess.Popen[bytes], log: Path) -> str:
    end_s = time.monotonic() + READY_S
    while time.monotonic() < end_s and process.poll() is None:
        line = next((line for line in _lines(log) if MARKER in line), None)
        if line is not None:
            url = line.split(MARKER)[1].strip()
            with contextlib.suppress(httpx.TransportError):  # it is busy with starting
                if httpx.get(f"{url}/v2/health/ready", trust_env=False).status_code == 200:
                    return url
        time.sleep(0.05)
    last = " / ".join(_lines(log)[-5:]) or "nothing"
    raise ClusterError(f"a daemon of our own did not become ready; it said: {last}")


def _lines(log: Path) -> list[str]:
    """Its whole lines so far."""
    text = log.read_text(errors="replace")
    return text[: text.rfind("\n") + 1].splitlines()
