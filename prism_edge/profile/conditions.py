"""What a measurement depends on besides what is measured: facts of a board, and of the hour.

``python -m prism_edge.profile.conditions`` prints the facts of the board it runs on as JSON. What
cannot be read is left out, never guessed.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from prism_edge.cluster.host import Host
from prism_edge.errors import ClusterError
from prism_edge.profile import board_state
from prism_edge.profile.board_state import ROOT, text

TIMEOUT_S = 30.0


def board_facts(root: Path = ROOT) -> dict[str, str]:
    """Facts of this board; the cores are those this process may use."""
    facts = {
        "hardware": hardware(root),
        "cores": str(len(os.sched_getaffinity(0))),
        "architecture": platform.machine(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "governor": text(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
    }
    return {key: value for key, value in facts.items() if value}


def hardware(root: Path = ROOT) -> str:
    """The board's own name where the device tree has one, else its CPU's."""
    board = text(root / "proc/device-tree/model")
    if board:
        return board
    for line in text(root / "proc/cpuinfo").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return value.strip()
    return platform.processor()


def load_average(root: Path = ROOT) -> str:
    """The load average of the last minute."""
    return text(root / "proc/loadavg").partition(" ")[0]


def cpu_ticks(root: Path = ROOT) -> tuple[int, ...]:
    """Time of all cores since the start, by kind as in proc(5); empty when it cannot be read."""
    return board_state.cpu_ticks(text(root / "proc/stat"))


def steal(before: Sequence[int], after: Sequence[int]) -> str:
    """The share of the time between that a hypervisor took away; empty when it is not known."""
    passed = [then - now for now, then in zip(before[:8], after[:8], strict=False)]
    total = sum(passed)
    return f"{passed[7] / total:.1%}" if len(passed) == 8 and total else ""


def facts_of(host: Host) -> Mapping[str, str]:
    """The facts of a host. Raises ``ClusterError`` when prism-edge does not run there."""
    done = host.run([sys.executable, "-m", "prism_edge.profile.conditions"], TIMEOUT_S)
    try:
        facts = json.loads(done.stdout)
        assert isinstance(facts, dict)
    except (ValueError, AssertionError):
        said = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["nothing"]
        raise ClusterError(
            f"board {host.name}: {sys.executable} -m prism_edge.profile.conditions ended with code "
            f"{done.returncode} and said {said[0]!r}; is prism-edge installed there?"
        ) from None
    return {str(key): str(value) for key, value in facts.items()}


if __name__ == "__main__":
    print(json.dumps(board_facts()))
