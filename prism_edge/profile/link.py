"""What it takes to get bytes from one board's memory into another's: the link, with its transport.

One series at a time has the medium for itself. A first visit tries the payloads in order of size,
to see which the link can carry in reasonable time; then rounds visit all cells in random order.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from prism_edge.profile.engines import Engines
from prism_edge.profile.measured import Measured
from prism_edge.profile.sweep import Sweep
from prism_edge.tables import LinkRow
from prism_edge.tables.rows import LinkOp, Load

SLOW_S = 1.5  # after a payload that takes longer no larger one is tried,
LONGEST_S = 4.0  # nor one that would take longer than this at the same pace
CELL_S = 2.0  # a cell that would take longer is repeated less
LEAST_REPEATS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """What is sent in all sizes. ``ranks``: who takes part; of ``oneway`` sender and receiver."""

    op: LinkOp
    ranks: tuple[int, ...]
    load: Load = "idle"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cell:
    """One payload of a series. ``repeats``: in each round."""

    series: Series
    size: int
    repeats: int
    key: str
    text: str


def series_of(boards: int) -> list[Series]:
    """All that is measured between so many boards.

    Every pair exchanges; with the leader also while both compute, and one way in both directions,
    because it scatters and gathers. More than two boards exchange all at once as well.
    """
    found = [Series(op="exchange", ranks=pair) for pair in combinations(range(boards), 2)]
    for rank in range(1, boards):
        found.append(Series(op="exchange", ranks=(0, rank), load="loaded"))
        found += [Series(op="oneway", ranks=ranks) for ranks in ((0, rank), (rank, 0))]
    if boards > 2:
        everybody = tuple(range(boards))
        found += [Series(op="exchange", ranks=everybody, load=load) for load in ("idle", "loaded")]
    return found


def measure_link(
    engines: Engines,
    sweep: Sweep,
    done: Collection[str] = (),
    *,
    deadline_s: float = float("inf"),
    now: Callable[[], float] = lambda: 0.0,
) -> Iterator[Measured]:
    """Payloads between boards, one series at a time; not what is ``done``.

    Rounds are dropped after ``deadline_s``, with a warning.
    """
    names = [host.name for host in engines.hosts]
    cells: list[_Cell] = []
    for series in series_of(len(names)):
        found, slow = _tried(engines, series, names, sweep, done)
        cells += found
        if slow is not None:
            yield slow
    source = random.Random(f"{sweep.seed}/link")
    for turn in range(sweep.payload_rounds):
        for cell in source.sample(cells, len(cells)):
            if f"{cell.key}/{turn}" in done:
                continue
            if now() >= deadline_s:
                said = f"time was up after {turn} of {sweep.payload_rounds} rounds of the link"
                yield Measured(text="link", warning=said, cut=True)
                return
            yield _visited(engines, cell, names, turn)


def _tried(
    engines: Engines, series: Series, names: list[str], sweep: Sweep, done: Collection[str]
) -> tuple[list[_Cell], Measured | None]:
    """The cells of a series that the link carries, and what is said of those it does not.

    A series that is done as a whole is not tried again.
    """
    text = f"link {_between(series, names)} {series.op}{'' if series.load == 'idle' else ' loaded'}"
    key = f"link/{'/'.join(names[rank] for rank in series.ranks)}/{series.op}/{series.load}"
    sizes = list(sweep.payloads if series.load == "idle" else sweep.payloads[:: sweep.loaded_step])
    slow = [size for size in sizes if f"{key}/{size}/slow" in done]
    known = sizes[: sizes.index(slow[0]) + 1] if slow else sizes
    turns = range(sweep.payload_rounds)
    if all(f"{key}/{size}/{turn}" in done for size in known for turn in turns):
        return [], None
    cells: list[_Cell] = []
    for size, larger in zip(known, [*known[1:], None], strict=True):
        trial_s = max(_probe(engines, series, size, 1)["seconds"][0], 1e-6)
        most = min(sweep.payload_repeats, int(CELL_S / trial_s / sweep.payload_rounds))
        cells.append(
            _Cell(
                series=series,
                size=size,
                repeats=max(-(-LEAST_REPEATS // sweep.payload_rounds), most),
                key=f"{key}/{size}",
                text=f"{text} {size} B",
            )
        )
        if larger is not None and (trial_s > SLOW_S or trial_s * larger / size > LONGEST_S):
            said = f"{text} {size} B takes {trial_s:.1f} s: larger payloads were not measured"
            note = Measured(text=f"{text} {size} B", key=f"{key}/{size}/slow", warning=said)
            return cells, note
    return cells, None


def _visited(engines: Engines, cell: _Cell, names: list[str], turn: int) -> Measured:
    series = cell.series
    said = _probe(engines, series, cell.size, cell.repeats)
    rows = tuple(
        LinkRow(
            src=names[series.ranks[0]],
            dst=names[series.ranks[-1]],
            op=series.op,
            world=len(series.ranks),
            load=series.load,
            bytes=cell.size,
            repeat=turn * 100 + index,
            latency_s=seconds,
            cpu_s=cpu_s,
        )
        for index, (seconds, cpu_s) in enumerate(zip(said["seconds"], said["cpu_s"], strict=True))
    )
    median_s = statistics.median(said["seconds"])
    text = f"{cell.text}: {median_s * 1e3:.2f} ms"
    return Measured(text=text, key=f"{cell.key}/{turn}", rows=rows)


def _probe(engines: Engines, series: Series, size: int, repeats: int) -> Mapping[str, Any]:
    return engines.ask(
        0,
        "probe",
        ranks=series.ranks,
        operation=series.op,
        bytes=size,
        repeats=repeats,
        loaded=series.load == "loaded",
    ).fields


def _between(series: Series, names: list[str]) -> str:
    sign = " > " if series.op == "oneway" else " - "
    return sign.join(names[rank] for rank in series.ranks)
