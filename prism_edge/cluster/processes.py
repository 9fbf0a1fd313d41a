"""Facts about running processes, read from /proc: who lives, who belongs to a lab, CPU time."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from prism_edge.errors import LabError

PROC = Path("/proc")
MARKER = "PRISM_EDGE_LAB"  # environment variable of every process of a lab: <token>/<member>
_POLL_S = 0.02
_KILL_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stat:
    """What /proc/<pid>/stat says; ``start_ticks`` since boot tells apart two lives of one pid."""

    state: str
    start_ticks: int
    cpu_ticks: int


def parse_stat(text: str) -> Stat:
    """The stat line's fields, counted from behind the name, which may hold blanks and brackets."""
    fields = text[text.rindex(")") + 2 :].split()
    return Stat(
        state=fields[0],
        start_ticks=int(fields[19]),
        cpu_ticks=int(fields[11]) + int(fields[12]),
    )


def stat(pid: int, proc: Path = PROC) -> Stat | None:
    """The process's stat; None when it has ended (a zombie has)."""
    try:
        with open(f"{proc}/{pid}/stat", errors="replace") as file:
            found = parse_stat(file.read())
    except (OSError, ValueError):
        return None
    return None if found.state in "ZX" else found


def pids(proc: Path = PROC) -> Iterator[int]:
    """Every process id there is now."""
    return (int(name) for name in os.listdir(proc) if name.isdecimal())


def network(pid: int | str, proc: Path = PROC) -> str | None:
    """The process's network namespace, such as net:[4026531840]; None when not to be seen."""
    try:
        return os.readlink(f"{proc}/{pid}/ns/net")
    except OSError:
        return None


def marker(pid: int | str, proc: Path = PROC) -> str | None:
    """The lab marker that the process was started with; None without, or not to be seen."""
    try:
        environment = (proc / str(pid) / "environ").read_bytes()
    except OSError:
        return None
    key = f"{MARKER}=".encode()
    for entry in environment.split(b"\0"):
        if entry.startswith(key):
            return entry[len(key) :].decode(errors="replace")
    return None


def arguments(pid: int) -> list[str]:
    """The command line that the process was started with; empty when not to be seen."""
    try:
        words = (PROC / str(pid) / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return []
    return [word.decode(errors="replace") for word in words[:-1]]


def boot_id() -> str:
    """What changes when the machine restarts."""
    return (PROC / "sys/kernel/random/boot_id").read_text().strip()


def stop(find: Callable[[], Iterable[int]], grace_s: float) -> None:
    """Nothing that ``find`` finds is left: asked to end first, killed after ``grace_s``.

    ``find`` is asked again each time, so what a dying process starts is caught too.
    """
    begun_s = time.monotonic()
    asked: set[int] = set()
    while left := set(find()):
        waited_s = time.monotonic() - begun_s
        if waited_s > grace_s + _KILL_S:
            raise LabError(f"processes {sorted(left)} do not die; look at them with ps")
        if waited_s > grace_s:
            _signal(left, signal.SIGKILL)
        else:
            _signal(left - asked, signal.SIGTERM)
            _signal(left - asked, signal.SIGCONT)  # a frozen one hears SIGTERM when it goes on
            asked |= left
        time.sleep(_POLL_S)


def _signal(targets: Iterable[int], number: signal.Signals) -> None:
    for pid in targets:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue
        except PermissionError as error:
            raise LabError(f"process {pid} is not yours; run this as its owner") from error
