"""A board has less of its core: a process on it takes a share, as other work of its owner would.

``python -m prism_edge.cluster.burden SHARE`` is that process. It uses up its share of every ten
milliseconds of CPU time, then sleeps. Where the core is wanted by others too the kernel gives every
process the same, which is why more than half cannot be had.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from prism_edge.cluster import processes
from prism_edge.cluster.local import LocalHost, kill_group
from prism_edge.errors import LabError, SettingsError

MOST = 0.5
_PERIOD_S = 0.01
_GRACE_S = 1.0
_MODULE = "prism_edge.cluster.burden"
_STARTED = b"burning\n"


def check_share(share: float) -> float:
    """The share itself; raises ``SettingsError`` when a process cannot have it."""
    if not 0 < share <= MOST:
        raise SettingsError(
            f"share {share:g}: allowed is more than 0 up to {MOST:g}; processes that compete for a "
            f"core get the same each"
        )
    return share


def load(host: LocalHost, share: float) -> subprocess.Popen[bytes]:
    """The running process that takes ``share`` of the host's core, whoever ends it."""
    argv = [sys.executable, "-m", _MODULE, str(check_share(share))]
    process = host.popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert process.stdout is not None
    with process.stdout as said:
        first = said.readline()
        if first != _STARTED:
            kill_group(process)
            raise LabError(f"{host.name}: the process that should load it said {first!r}")
    return process


@contextmanager
def loaded(host: LocalHost, share: float) -> Iterator[None]:
    """The host has ``share`` less of its core inside; 0 changes nothing."""
    if share == 0:
        yield
        return
    process = load(host, share)
    try:
        yield
    finally:
        kill_group(process)


def loads(host: LocalHost) -> set[int]:
    """The processes that take a share of this board, whoever started them."""
    marker = host.env.get(processes.MARKER)
    return {
        pid
        for pid in processes.pids()
        if marker is not None
        and processes.marker(pid) == marker
        and _MODULE in processes.arguments(pid)
        and processes.stat(pid) is not None
    }


def free(host: LocalHost) -> None:
    """Nothing of that kind runs on the board."""
    processes.stop(lambda: loads(host), _GRACE_S)


def burn(share: float) -> None:
    """Use ``share`` of a core until killed."""
    due_s = time.monotonic()
    while True:
        until_s = time.process_time() + share * _PERIOD_S
        while time.process_time() < until_s:
            pass
        due_s = max(due_s + _PERIOD_S, time.monotonic())
        time.sleep(max(0.0, due_s - time.monotonic()))


if __name__ == "__main__":
    print(_STARTED.decode(), end="", flush=True)
    burn(float(sys.argv[1]))
