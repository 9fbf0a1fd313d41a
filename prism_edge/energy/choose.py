"""Where a board's power comes from: sysfs where it can be read, else tegrastats, else jtop, else
nothing; and why."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, get_args

from prism_edge.energy.rails import NO_RAILS
from prism_edge.energy.replay import EmptySource
from prism_edge.energy.sample import Label, PowerSource
from prism_edge.energy.sampler import SysfsSource
from prism_edge.energy.source import MINIMUM_INTERVAL_MS, jtop_source, tegrastats_source
from prism_edge.energy.sysfs import Board, chips
from prism_edge.errors import EnergyError

Kind = Literal["sysfs", "tegrastats", "jtop", "none"]
ROOT = Path("/")
JTOP_SOCKET = "run/jtop.sock"


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """The kind of source that is used, and what was found of each kind that was looked at."""

    kind: Kind
    reasons: dict[Kind, str]

    @property
    def why(self) -> str:
        """One line: every kind with its reason."""
        return "; ".join(f"{kind}: {reason}" for kind, reason in self.reasons.items())


def choose(wanted: str = "auto", root: Path = ROOT) -> Choice:
    """The first kind that works here, or the one that is ``wanted``, whether it works or not."""
    if wanted != "auto":
        if wanted not in get_args(Kind):
            allowed = ", ".join(("auto", *get_args(Kind)))
            raise EnergyError(f"power source {wanted!r} is unknown; allowed: {allowed}")
        kind: Kind = wanted  # type: ignore[assignment]
        return Choice(kind=kind, reasons={kind: "as told"})
    reasons: dict[Kind, str] = {}
    for kind, look in (("sysfs", _sysfs), ("tegrastats", _tegrastats), ("jtop", _jtop)):
        works, reasons[kind] = look(root)
        if works:
            return Choice(kind=kind, reasons=reasons)
    return Choice(kind="none", reasons={**reasons, "none": "nothing is left"})


def open_source(
    kind: Kind,
    *,
    board: str,
    interval_s: float = 0.1,
    source: Label = "sensor",
    total: Sequence[str] = (),
    root: Path = ROOT,
) -> PowerSource:
    """A source of that kind, not yet entered. ``total``: the rails to add on an unknown board."""
    if kind == "sysfs":
        return SysfsSource(board=board, interval_s=interval_s, total=total, root=root)
    if kind == "tegrastats":
        interval_ms = max(round(interval_s * 1e3), MINIMUM_INTERVAL_MS)
        return tegrastats_source(board=board, interval_ms=interval_ms, source=source, total=total)
    if kind == "jtop":
        return jtop_source(board=board, interval_s=max(interval_s, 0.5), total=total)
    return EmptySource()


def _sysfs(root: Path) -> tuple[bool, str]:
    if not chips(root):
        return False, "no INA3221 or INA238 has a driver here"
    sensors = Board(root)
    try:
        found = sensors.rails_mw()
    finally:
        sensors.close()
    missing = [rail.name for rail in sensors.rails if rail.name not in found]
    if missing:
        return False, f"{', '.join(missing)} cannot be read: run as root or grant read access"
    return bool(found), f"reads {', '.join(found)}" if found else NO_RAILS


def _tegrastats(_root: Path) -> tuple[bool, str]:
    where = shutil.which("tegrastats")
    return where is not None, where or "not on PATH"


def _jtop(root: Path) -> tuple[bool, str]:
    if find_spec("jtop") is None:
        return False, "jetson-stats is not installed"
    if not (root / JTOP_SOCKET).exists():
        return False, f"its service does not run: no {ROOT / JTOP_SOCKET}"
    return True, f"its service runs: {ROOT / JTOP_SOCKET}"
