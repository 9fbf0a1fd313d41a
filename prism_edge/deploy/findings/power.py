"""Power mode, clocks and sensors of a Jetson: how fast it runs, and whether that is known."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from prism_edge.deploy.facts import PowerMode
from prism_edge.deploy.findings.finding import Case, Finding

WATTS = re.compile(r"(?:MODE_)?(\d+)W(?:_.*)?", re.IGNORECASE)


def findings(case: Case) -> Iterator[Finding]:
    if not case.jetson:
        if case.board is not None and case.board.power == "sensor":
            yield Finding(
                code="no-power-sensor",
                severity="warning",
                what="cluster.toml says power = 'sensor', and this is no Jetson",
                where="cluster.toml",
                remedy="Set power = 'none' for this board: no energy is better than a wrong one.",
            )
        return
    power = case.facts.power
    yield from _mode(power)
    if power.clocks_locked:
        yield Finding(
            code="clocks-locked",
            severity="note",
            what="jetson_clocks holds the clocks at the top of the mode, until the next boot: an "
            "idle board draws more, and what is measured now is faster than what serves later",
            where="jetson_clocks",
            remedy="Serve and measure in the same state. To let them go, if they were stored:\n"
            "$ sudo jetson_clocks --restore",
        )


def _mode(power: PowerMode) -> Iterator[Finding]:
    names = list(power.offered.values())
    if power.current is None:
        yield Finding(
            code="mode-unread",
            severity="note",
            what="its power mode cannot be read",
            where="/var/lib/nvpmodel/status",
            remedy="See whether this names one; it may need root:\n$ sudo nvpmodel -q",
        )
    elif power.offered and power.current not in names:
        yield Finding(
            code="mode-unknown",
            severity="warning",
            what=f"power mode {power.current!r} is none of those offered: {', '.join(names)}",
            where="/etc/nvpmodel.conf",
            remedy="Set one that is; a change of cores needs a reboot:\n"
            + _set(power, power.default or names[0]),
        )
    elif power.default is not None and power.current != power.default:
        low = rank(power.current) < rank(power.default)
        yield Finding(
            code="mode-low" if low else "mode-other",
            severity="warning" if low else "note",
            what=f"power mode {power.current}, "
            + (f"slower than {power.default}, " if low else f"not {power.default}, ")
            + "the board's default",
            where="nvpmodel",
            remedy="If that is not meant, set it by its name, and look again: over SSH a change "
            "of cores fails without a word and needs a reboot.\n" + _set(power, power.default),
        )


def rank(name: str) -> float:
    """Modes by their cap; MAXN has none. A name without a number says nothing: nan, never less."""
    if name.upper().startswith("MAXN"):
        return math.inf
    watts = WATTS.fullmatch(name)
    return float(watts[1]) if watts else math.nan


def _set(power: PowerMode, name: str) -> str:
    number = next((key for key, value in power.offered.items() if value == name), None)
    return f"$ sudo nvpmodel -m {number}" if number is not None else "$ sudo nvpmodel -m ID"
