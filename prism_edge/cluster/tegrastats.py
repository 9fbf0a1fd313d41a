"""``tegrastats`` of an emulated board: lines of an Orin Nano under JetPack 6, power by a model.

Nothing here is measured. Power is a constant plus a term in the CPU time that the processes of this
board (those in its network namespace) have used since the last line::

    VDD_IN = 4.7 W + 6.0 W x utilisation of the board's core

4.7 W is what an idle Orin Nano prints (public JetPack 6 lines), 6.0 W a plausible busy one; they
stand for no board. Two labs can be compared by them as far as CPU time can, and no further. A file
of lines says so at its head.
"""

from __future__ import annotations

import argparse
import os
import stat
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from prism_edge.cluster import processes
from prism_edge.cluster.board_cpu import BoardCpu

IDLE_W = 4.7
BUSY_W = 6.0
# How the model splits VDD_IN into the two rails that are part of it: (idle, added when busy).
_CPU_GPU_CV_W = (0.5, 4.6)
_SOC_W = (1.4, 0.7)
_IDLE_C = 46.0
_BUSY_C = 12.0
_CORES = 6
_CLOCK_MHZ = 1510
_LABEL = (
    f"tegrastats: emulated board: power and temperatures are MODELLED from CPU time "
    f"({IDLE_W:g} W idle, +{BUSY_W:g} W per busy core), not measured"
)


def rails_mw(utilisation: float) -> dict[str, int]:
    """The model: milliwatts of each rail for a board whose core is busy that share of the time."""
    watts = {
        "VDD_IN": IDLE_W + BUSY_W * utilisation,
        "VDD_CPU_GPU_CV": _CPU_GPU_CV_W[0] + _CPU_GPU_CV_W[1] * utilisation,
        "VDD_SOC": _SOC_W[0] + _SOC_W[1] * utilisation,
    }
    return {name: round(1e3 * watt) for name, watt in watts.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """RAM and swap of the machine that carries the lab, in MB; no board has memory of its own."""

    ram_used_mb: int
    ram_total_mb: int
    swap_used_mb: int
    swap_total_mb: int


def parse_meminfo(text: str) -> Memory:
    """What /proc/meminfo says; a field that is not there counts as 0, as without swap."""
    rows = (line.split() for line in text.splitlines())
    mb = {row[0].rstrip(":"): int(row[1]) // 1024 for row in rows if len(row) >= 2}
    total, swap = mb.get("MemTotal", 0), mb.get("SwapTotal", 0)
    return Memory(
        ram_used_mb=total - mb.get("MemAvailable", total),
        ram_total_mb=total,
        swap_used_mb=swap - mb.get("SwapFree", swap),
        swap_total_mb=swap,
    )


class Average:
    """Mean of each rail since the process started: what tegrastats prints behind the slash."""

    def __init__(self) -> None:
        self._sums: dict[str, int] = {}
        self._count = 0

    def add(self, rails: dict[str, int]) -> dict[str, int]:
        """The means with ``rails`` included."""
        self._count += 1
        self._sums = {name: self._sums.get(name, 0) + mw for name, mw in rails.items()}
        return {name: total // self._count for name, total in self._sums.items()}


def render(
    *,
    date: str,
    memory: Memory,
    utilisation: float,
    rails: dict[str, int],
    averages: dict[str, int],
) -> str:
    """One line as JetPack 6 prints it without root; the cores that a lab board lacks are off."""
    m = memory
    cores = [f"{min(100, round(100 * utilisation))}%@{_CLOCK_MHZ}", *["off"] * (_CORES - 1)]
    degrees = f"{_IDLE_C + _BUSY_C * utilisation:.3f}C"
    zones = " ".join(f"{zone}@{degrees}" for zone in ("cpu", "soc2", "soc0", "gpu", "tj", "soc1"))
    power = " ".join(f"{name} {mw}mW/{averages[name]}mW" for name, mw in rails.items())
    return (
        f"{date} RAM {m.ram_used_mb}/{m.ram_total_mb}MB (lfb 4x4MB) "
        f"SWAP {m.swap_used_mb}/{m.swap_total_mb}MB (cached 0MB) "
        f"CPU [{','.join(cores)}] GR3D_FREQ 0% {zones} {power}"
    )


def _belonging(by: str) -> Callable[[int], bool]:
    """Who is on this process's own board: by its network namespace, or by the lab's marker."""
    look = processes.network if by == "network" else processes.marker
    mine = look("self")
    return lambda pid: mine is not None and look(pid) == mine


def _watch(interval_s: float, board_by: str, write: Callable[[str], None]) -> None:
    cpu = BoardCpu(_belonging(board_by))
    own_cores = len(os.sched_getaffinity(0))
    averages = Average()
    before_s = due_s = time.monotonic()
    used_s = cpu.sample(before_s)
    while True:
        due_s = max(due_s + interval_s, time.monotonic())
        time.sleep(max(0.0, due_s - time.monotonic()))
        now_s = time.monotonic()
        now_used_s = cpu.sample(now_s)
        busy = (now_used_s - used_s) / (now_s - before_s)
        utilisation = min(max(busy, 0.0), own_cores)  # the clock of CPU time ticks every 10 ms
        used_s, before_s = now_used_s, now_s
        rails = rails_mw(utilisation)
        write(
            render(
                date=time.strftime("%m-%d-%Y %H:%M:%S"),
                memory=parse_meminfo(Path("/proc/meminfo").read_text()),
                utilisation=utilisation,
                rails=rails,
                averages=averages.add(rails),
            )
        )


def main(argv: Sequence[str]) -> int:
    """Print lines until ended, as tegrastats does."""
    parser = argparse.ArgumentParser(prog="tegrastats", description=_LABEL)
    parser.add_argument("--interval", type=int, default=1000, metavar="MS", help="between lines")
    parser.add_argument("--logfile", type=Path, metavar="FILE", help="append there, not to stdout")
    parser.add_argument("--readall", action="store_true", help="accepted; there is nothing more")
    parser.add_argument("--verbose", action="store_true", help="accepted; there is nothing more")
    parser.add_argument(
        "--board-by",
        choices=("network", "marker"),
        default="network",
        help="how the board's processes are told: network namespace, or marker (lab mode paced)",
    )
    options = parser.parse_args(argv)
    if options.interval < 1:
        parser.error("--interval: milliseconds, at least 1")
    print(_LABEL, file=sys.stderr, flush=True)
    try:
        if options.logfile is None:
            if stat.S_ISREG(os.fstat(sys.stdout.fileno()).st_mode):
                print(_LABEL, flush=True)
            _watch(options.interval / 1e3, options.board_by, lambda line: print(line, flush=True))
        else:
            with options.logfile.open("a", buffering=1) as log:
                print(_LABEL, file=log)
                _watch(options.interval / 1e3, options.board_by, lambda line: print(line, file=log))
    except BrokenPipeError:
        # Who read us has gone; Python would complain again when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
