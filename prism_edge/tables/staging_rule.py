"""Which way messages of which size take between device and host memory, as measured.

Text: ``pinned``, or by size, as ``mapped:65536,pinned`` (mapped up to 64 KiB, pinned beyond).
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from prism_edge.errors import SettingsError
from prism_edge.tables.rows import StagingRow

AUTO = "auto"
Path = Literal["gloo", "pinned", "mapped"]
PATHS: tuple[Path, ...] = get_args(Path)  # each wants more of the memory it uses than the last
INSTEAD: dict[Path, Path] = {"mapped": "pinned", "pinned": "gloo"}  # gloo always works
DIRECTIONS = ("d2h", "h2d")


@dataclass(frozen=True, slots=True)
class StagingRule:
    """``steps``: (largest payload in bytes, path), growing; the last has no largest."""

    steps: tuple[tuple[int | None, Path], ...]

    def path(self, size: int) -> Path:
        """The path of a payload of ``size`` bytes."""
        return next(path for largest, path in self.steps if largest is None or size <= largest)

    @property
    def paths(self) -> frozenset[Path]:
        return frozenset(path for _, path in self.steps)

    def working(self, fault: Callable[[Path], str | None]) -> tuple[StagingRule, str | None]:
        """The rule with a simpler path in place of each one that has a fault, and the faults."""
        rule, faults = self, []
        for old, new in INSTEAD.items():
            found = fault(old) if old in rule.paths else None
            if found is not None:
                faults.append(f"{old}: {found}")
                rule = _merged((size, new if path == old else path) for size, path in rule.steps)
        return rule, "; ".join(faults) or None

    def __str__(self) -> str:
        return ",".join(
            path if largest is None else f"{path}:{largest}" for largest, path in self.steps
        )

    @classmethod
    def parse(cls, text: str) -> StagingRule:
        """The rule of a text. Raises ``SettingsError``."""
        steps: list[tuple[int | None, Path]] = []
        *bounded, last = text.split(",")
        for part in bounded:
            path, _, largest = part.partition(":")
            before = steps[-1][0] if steps else 0
            if path not in PATHS or not largest.isdecimal() or int(largest) <= (before or 0):
                raise _refusal(text)
            steps.append((int(largest), path))
        if last not in PATHS:
            raise _refusal(text)
        return cls((*steps, (None, last)))


def fastest_rule(rows: Iterable[StagingRow], board: str) -> StagingRule | None:
    """The fastest path for every measured size of ``board``, out and in together; None where no
    path of an accelerator was measured. Beyond the largest size its path stays.

    Medians decide; of equal ones the simpler path.
    """
    steps: list[tuple[int | None, Path]] = []
    for size, seconds in medians(row for row in rows if row.board == board).items():
        whole = {
            path: sum(seconds[path, way] for way in DIRECTIONS)
            for path in PATHS
            if all((path, way) in seconds for way in DIRECTIONS)
        }
        if whole:
            steps.append((size, min(whole, key=whole.__getitem__)))
    return _merged((*steps[:-1], (None, steps[-1][1]))) if steps else None


def medians(rows: Iterable[StagingRow]) -> dict[int, dict[tuple[str, str], float]]:
    """Median seconds by size, then by path and direction; sizes ascend."""
    found: dict[int, dict[tuple[str, str], list[float]]] = {}
    for row in rows:
        cells = found.setdefault(row.bytes, {})
        cells.setdefault((row.path, row.direction), []).append(row.latency_s)
    return {
        size: {key: statistics.median(repeats) for key, repeats in cells.items()}
        for size, cells in sorted(found.items())
    }


def _merged(steps: Iterable[tuple[int | None, Path]]) -> StagingRule:
    """Neighbours of one path are one step."""
    kept: list[tuple[int | None, Path]] = []
    for largest, path in steps:
        if kept and kept[-1][1] == path:
            kept.pop()
        kept.append((largest, path))
    return StagingRule(tuple(kept))


def _refusal(text: str) -> SettingsError:
    return SettingsError(
        f"staging {text!r}: expected one of {AUTO}, {', '.join(PATHS)}, or by growing size "
        f"as in mapped:65536,pinned"
    )
