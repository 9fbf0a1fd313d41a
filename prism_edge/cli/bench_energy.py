"""``prism-edge bench energy``: what measuring power costs the board that is measured."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Annotated

import typer

KINDS = ("tegrastats", "sysfs")
CORE_PCT, PEAK_MIB = 1.0, 30.0


def energy(
    seconds: Annotated[float, typer.Option(help="of every kind of source")] = 600.0,
    hz: Annotated[float, typer.Option(help="samples a second")] = 60.0,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """CPU time and memory of a process that reads a stream of samples and journals them.

    Exit 1 if that is 1 % of a core or 30 MiB, or more. What prints the lines is not counted.
    Example: prism-edge bench energy --seconds 120
    """
    found = {kind: _measure(kind, hz, seconds) for kind in KINDS}
    if as_json:
        print(json.dumps({"hz": hz, "kinds": found}))
    else:
        for kind, cost in found.items():
            print(
                f"{kind:<12} {cost['samples']:.0f} samples in {cost['seconds']:.1f} s: "
                f"{cost['core_pct']:.2f} % of a core, {cost['peak_mib']:.1f} MiB"
            )
    if any(one["core_pct"] >= CORE_PCT or one["peak_mib"] >= PEAK_MIB for one in found.values()):
        raise typer.Exit(1)


def _measure(kind: str, hz: float, seconds: float) -> dict[str, float]:
    argv = [sys.executable, "-m", "prism_edge.bench.energy_cost", kind, f"{hz:g}", f"{seconds:g}"]
    done = subprocess.run(argv, stdout=subprocess.PIPE, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found
