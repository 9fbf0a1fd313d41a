"""``prism-edge energy parse``: what every line of a tegrastats log says."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from prism_edge.energy.tegrastats import Reading


def parse(
    file: Annotated[Path, typer.Argument(help="a log of tegrastats' lines")],
    as_json: Annotated[bool, typer.Option("--json", help="print an object per sample")] = False,
) -> None:
    """What a tegrastats log says: a summary, or every sample as a line of JSON.

    Lines without RAM are no samples: they are counted. What was not understood has no value, and is
    shown once per kind. Both go to standard error.

    Example: prism-edge energy parse tegrastats.log --json
    """
    from prism_edge.energy.source import Kinds

    samples = skipped = 0
    kinds = Kinds()
    rails: dict[str, Spread] = {}
    for line, reading in _readings(file):
        if reading is None:
            skipped += bool(line.strip())
            continue
        samples += 1
        if new := kinds.new(reading.unknown):
            print(f"not understood: {', '.join(map(repr, new))} in {line.strip()}", file=sys.stderr)
        if as_json:
            print(json.dumps(_as_dict(reading)))
        for name, mw in reading.rails_mw.items():
            rails.setdefault(name, Spread()).add(mw)
    if not as_json:
        _show(samples, rails)
    if skipped:
        print(f"{skipped} lines without RAM, which are no samples", file=sys.stderr)


@dataclass(slots=True)
class Spread:
    """How a rail's readings lie; the sum for their mean."""

    count: int = 0
    total: int = 0
    lowest: float = math.inf
    highest: float = -math.inf

    def add(self, mw: int) -> None:
        self.count, self.total = self.count + 1, self.total + mw
        self.lowest, self.highest = min(self.lowest, mw), max(self.highest, mw)


def _readings(file: Path) -> Iterator[tuple[str, Reading | None]]:
    from prism_edge.energy.stamps import offset_of
    from prism_edge.energy.tegrastats import parse as parse_line
    from prism_edge.errors import EnergyError

    try:
        with file.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                offset = offset_of(line)
                yield line, parse_line(line if offset is None else offset[1])
    except OSError as error:
        raise EnergyError(f"{file}: cannot be read: {error.strerror}") from error


def _as_dict(reading: Reading) -> dict[str, object]:
    return {
        "ram_used_mb": reading.ram_used_mb,
        "ram_total_mb": reading.ram_total_mb,
        "cpu": [asdict(core) for core in reading.cpu],
        "gr3d_load_pct": reading.gr3d_load_pct,
        "temps_c": reading.temps_c,
        "rails_mw": reading.rails_mw,
    }


def _show(samples: int, rails: dict[str, Spread]) -> None:
    print(f"{samples} samples")
    if samples and not rails:
        print("no power rails: tegrastats of JetPack 5 prints them to root only")
    if rails:
        print(f"{'rail, mW':<20} {'samples':>8} {'lowest':>8} {'mean':>8} {'highest':>8}")
    for name, one in rails.items():
        mean = one.total / one.count
        print(f"{name:<20} {one.count:>8} {one.lowest:>8} {mean:>8.0f} {one.highest:>8}")
