"""The cgroups of one board: a directory in each hierarchy of this machine, v1 or v2, below our own.

They say which processes are the board's, whoever started them, and bound its memory.
"""

from __future__ import annotations

import contextlib
import fnmatch
import os
import signal
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
_BUSY_S = 60.0
_POLL_S = 0.05


def places(own: str = "/proc/self/cgroup", mounts: str = "/proc/self/mounts") -> dict[str, Path]:
    """Where a process like this one may make cgroups, by controllers; v2 is the empty name."""
    groups = {}
    for line in Path(own).read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        groups[controllers] = path.strip("/")
    found = {}
    for line in Path(mounts).read_text().splitlines():
        _, point, kind, options, *_ = line.split()
        for controllers, path in groups.items():
            v2 = kind == "cgroup2" and not controllers
            v1 = (
                kind == "cgroup"
                and controllers
                and set(controllers.split(",")) <= set(options.split(","))
            )
            if v1 or v2:
                found[controllers] = Path(point) / path
    return found


def find(pattern: str) -> list[Path]:
    """All cgroups of this machine that are called so, whoever made them."""
    return [
        Path(path, name)
        for path, names, _ in os.walk(ROOT)  # it bears with those that vanish
        for name in fnmatch.filter(names, pattern)
    ]


def make(tag: str, memory_bytes: int) -> list[Path]:
    """The board's cgroups, new or old."""
    made = []
    for controllers, place in places().items():
        group = place / tag
        group.mkdir(exist_ok=True)
        if "cpuset" in controllers.split(","):  # starts empty, and then takes nobody
            for name in ("cpuset.cpus", "cpuset.mems"):
                (group / name).write_text((place / name).read_text())
        for name in ("memory.limit_in_bytes", "memory.max"):
            if (group / name).exists():
                (group / name).write_text(str(memory_bytes))
        made.append(group)
    return made


def members(groups: Iterable[Path]) -> list[int]:
    """All processes in them."""
    pids = set()
    for group in _nested(groups):
        with contextlib.suppress(OSError):
            pids |= {int(pid) for pid in (group / "cgroup.procs").read_text().split()}
    return sorted(pids - {0})


def kill(groups: Iterable[Path]) -> None:
    """Nothing runs in them."""
    until_s = time.monotonic() + _BUSY_S
    while pids := members(groups):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        assert time.monotonic() < until_s, f"{pids} do not die"
        time.sleep(_POLL_S)


def remove(groups: Iterable[Path]) -> None:
    """None of them is left; nothing may run in them."""
    until_s = time.monotonic() + _BUSY_S
    for group in _nested(groups):
        while group.exists():
            try:
                group.rmdir()
            except OSError:  # busy until its last process is reaped
                assert time.monotonic() < until_s, f"{group} cannot be removed"
                time.sleep(_POLL_S)


def _nested(groups: Iterable[Path]) -> Iterator[Path]:
    """They and all within them, the innermost first."""
    for group in groups:
        for path, _, _ in os.walk(group, topdown=False):
            yield Path(path)
