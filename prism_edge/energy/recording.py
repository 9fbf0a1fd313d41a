"""What a file says about power: a journal, or a log of tegrastats' lines, as one value."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from prism_edge.energy import clocks
from prism_edge.energy.journal_reader import ends, is_journal, read
from prism_edge.energy.meter import Curve
from prism_edge.energy.rails import NO_RAILS, OUTSIDE_MODULE, total_of, unknown_total
from prism_edge.energy.rows import EventRow, JournalData, RequestRow
from prism_edge.energy.sample import Label, Sample
from prism_edge.energy.source import MODELLED, TegrastatsLines
from prism_edge.energy.stamps import BY_DATE, BY_OFFSET, offset_of, times
from prism_edge.energy.tegrastats import parse
from prism_edge.energy.uncertainty import PRINTED_STEP_W, SENSOR_STEP_W
from prism_edge.errors import EnergyError

MARGIN_S = 10.0  # of samples beside what is asked for: a window's ends lie between samples
BY_JOURNAL = "CLOCK_REALTIME, of all boards the leader's"
DATE_BOUND_S = 0.5  # of whole seconds


@dataclass(frozen=True, kw_only=True, slots=True)
class Recording:
    """Samples by board on one clock. ``clock`` says how their times are known.

    ``first_s`` and ``last_s``: of all samples in the file. ``bounds_s``: how well each board's
    clock is known against the others', None where it was never measured. ``boards``: every board
    of the cluster, with and without samples. ``rule``: which rails the total is; ``excludes``: what
    it leaves out; ``added``: how many rails are in it.
    """

    kind: str
    clock: str
    first_s: float
    last_s: float
    boards: tuple[str, ...]
    samples: Mapping[str, Sequence[Sample]]
    rule: str | None = None
    added: int = 1
    excludes: str = OUTSIDE_MODULE
    bounds_s: Mapping[str, float | None] = field(default_factory=dict)
    conditions: Mapping[str, str] = field(default_factory=dict)
    requests: tuple[RequestRow, ...] = ()
    events: tuple[EventRow, ...] = ()

    def curve(self, board: str, interval_s: float | None = None) -> Curve:
        """The power of a board over time."""
        return Curve(self.samples.get(board, ()), interval_s)

    def source(self, board: str) -> str:
        """Where its power comes from: sensor, modelled, or none."""
        found = {sample.source for sample in self.samples.get(board, ())}
        return "modelled" if "modelled" in found else "sensor" if found else "none"

    def step_w(self, board: str) -> float:
        """The step its readings are rounded to; of a sum, the steps of all its rails."""
        return PRINTED_STEP_W if self.source(board) == "modelled" else self.added * SENSOR_STEP_W


def extent_of(path: Path) -> tuple[float, float] | None:
    """When the first and the last sample of a journal were taken; None for another file."""
    return _extent(ends(path)) if is_journal(path) else None


def recording(
    path: Path,
    *,
    between: tuple[float, float] = (-math.inf, math.inf),
    interval_s: float | None = None,
    total: Sequence[str] = (),
    board: str = "board",
) -> Recording:
    """What the file says; of a journal only what is ``between`` two moments.

    ``interval_s``, ``total`` (the rails to add) and ``board`` are of a log that does not say them.
    Raises ``JournalError`` and ``EnergyError`` for a file that cannot be used.
    """
    if is_journal(path):
        return _of_journal(path, between)
    return _of_log(path, interval_s, total, board)


def _of_journal(path: Path, between: tuple[float, float]) -> Recording:
    outer = ends(path)
    whole = _extent(outer)
    if whole is None:
        raise EnergyError(f"{path}: holds no power sample; was the cluster's power none?")
    told = clocks.offsets(outer.events)
    ahead = [0.0, *(offset.offset_s for each in told.values() for _, offset in each)]
    found = read(path, (between[0] - MARGIN_S + min(ahead), between[1] + MARGIN_S + max(ahead)))
    named = {key[6:]: label for key, label in found.meta.items() if key.startswith("power.")}
    samples = clocks.on_one_clock(found)
    conditions = {
        key[10:]: said for key, said in found.meta.items() if key.startswith("condition.")
    }
    boards = tuple(dict.fromkeys([*named, *samples]))
    return Recording(
        kind="journal",
        clock=BY_JOURNAL,
        first_s=whole[0],
        last_s=whole[1],
        boards=boards,
        samples=samples,
        rule=conditions.get("rule"),
        added=int(conditions.get("rails_added", 1)),
        excludes=conditions.get("excludes", OUTSIDE_MODULE),
        bounds_s={name: clocks.bound(told.get(name, ())) for name in boards},
        conditions=conditions,
        requests=found.requests,
        events=found.events,
    )


def _extent(outer: JournalData) -> tuple[float, float] | None:
    """The first and the last moment of all, on the leader's clock."""
    moments = [sample.t_s for each in clocks.on_one_clock(outer).values() for sample in each]
    return (min(moments), max(moments)) if moments else None


def _of_log(path: Path, interval_s: float | None, total: Sequence[str], board: str) -> Recording:
    try:
        text = path.read_text(errors="replace")
    except OSError as error:
        raise EnergyError(
            f"{path}: cannot be read: {error.strerror}; name a journal or a tegrastats log"
        ) from error
    label: Label = "modelled" if MODELLED in text else "sensor"
    lines = [line for line in text.splitlines() if parse(_printed(line)) is not None]
    if not lines:
        raise EnergyError(f"{path}: is no journal, and no line of it is one of tegrastats'")
    moments, clock = times(lines, interval_s)
    if clock == BY_OFFSET and (back := [(a, b) for a, b in pairwise(moments) if b < a]):
        a_s, b_s = back[0]
        raise EnergyError(
            f"{path}: offsets go back from {a_s:g} to {b_s:g} s: these are several recordings; "
            "make each a file of its own"
        )
    if clock != BY_OFFSET:
        lines = [_printed(line) for line in lines]
    understand = TegrastatsLines(board=board, source=label, total=total)
    found = [understand(_printed(line), t_s) for line, t_s in zip(lines, moments, strict=True)]
    samples = [one for one in found if isinstance(one, Sample)]
    names = {name for one in samples for name in one.rails_mw}
    known = total_of(names, total)
    rule = next((one.rule for one in samples if one.power_w is not None), None)
    if rule is None:
        why = unknown_total(names).partition(":")[0] if names else NO_RAILS
        hint = "; name the rails to add: --total A,B" if names else ""
        raise EnergyError(f"{path}: {why}{hint}")
    return Recording(
        kind="tegrastats log",
        clock=clock,
        first_s=samples[0].t_s,
        last_s=samples[-1].t_s,
        boards=(board,),
        samples={board: samples},
        rule=rule,
        added=len(known.rails) if known else 1,
        excludes=known.excludes if known else OUTSIDE_MODULE,
        bounds_s={board: DATE_BOUND_S if clock == BY_DATE else 0.0},
    )


def _printed(line: str) -> str:
    """The line without the seconds before it."""
    found = offset_of(line)
    return line if found is None else found[1]
