"""What the lines of a power source mean: samples of one board, by tegrastats or a helper."""

from __future__ import annotations

import json
import logging
import math
import re
import sys
from collections.abc import Callable, Mapping, Sequence

from prism_edge.energy.child import ChildSource
from prism_edge.energy.rails import NO_RAILS, Total, total_of
from prism_edge.energy.sample import Label, Sample
from prism_edge.energy.tegrastats import parse

LOG = logging.getLogger(__name__)
MINIMUM_INTERVAL_MS = 50  # one reading of three rails takes the sensor's driver up to 40 ms
MODELLED = "MODELLED"
KINDS_SAID = 20  # of what was not understood; beyond, the text is not tegrastats'


class TegrastatsLines:
    """The sample of one line after the other, or why a line is none, as text.

    The total's rule is that of the first line that was understood whole and has one, and stays: a
    rail missing later makes the total unknown, not another one. A line that says MODELLED, which an
    emulated board prints first, makes all samples modelled. ``total``: the rails to add on a
    board that is not in the table. ``say`` is told once per kind what was not understood, with the
    line.
    """

    def __init__(
        self,
        *,
        board: str,
        source: Label = "sensor",
        total: Sequence[str] = (),
        say: Callable[[str], None] = LOG.warning,
    ) -> None:
        self._board = board
        self._source: Label = source
        self._declared = tuple(total)
        self._say = say
        self._total: Total | None = None
        self._kinds = Kinds()

    def __call__(self, line: str, t_s: float, monotonic_s: float | None = None) -> Sample | str:
        reading = parse(line)
        if reading is None:
            if MODELLED in line:
                self._source = "modelled"
            elif line.strip() and self._kinds.new((line[:200],)):
                self._say(f"board {self._board}: no line of tegrastats: {line[:200]}")
            return f"no tegrastats line: {line[:200]!r}"
        if new := self._kinds.new(reading.unknown):
            what = ", ".join(map(repr, new))
            self._say(f"board {self._board}: not understood in tegrastats' line: {what}: {line}")
        if not reading.rails_mw:
            return NO_RAILS
        if self._total is None and not reading.unknown:
            self._total = total_of(reading.rails_mw, self._declared)
        total = self._total or total_of(reading.rails_mw, self._declared)
        return Sample(
            board=self._board,
            t_s=t_s,
            power_w=None if total is None else total.power_w(reading.rails_mw),
            source=self._source,
            monotonic_s=monotonic_s,
            rule=None if total is None else total.rule,
            rails_mw=reading.rails_mw,
            temps_c=reading.temps_c,
            gr3d_load_pct=reading.gr3d_load_pct,
        )


class Kinds:
    """The kinds of tokens that were not understood so far, a bounded number of them."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def new(self, tokens: Sequence[str]) -> list[str]:
        """The first token of every kind that was not there before."""
        found = []
        for token in tokens:
            kind = re.sub(r"\d+", "0", token)  # two of one kind differ in their numbers only
            if kind not in self._seen and len(self._seen) < KINDS_SAID:
                self._seen.add(kind)
                found.append(token)
        return found


class HelperLines:
    """The sample of one line of a helper process ``by`` name after the other, or why it is none.

    A line is JSON: {rails_mw, temps_c}. Helpers are ``python -m prism_edge.energy.jtop`` and, where
    another board is measured from here, ``python -m prism_edge.energy.sysfs``.
    """

    def __init__(self, *, board: str, by: str, total: Sequence[str] = ()) -> None:
        self._board = board
        self._by = by
        self._declared = tuple(total)

    def __call__(self, line: str, t_s: float, monotonic_s: float | None = None) -> Sample | str:
        try:
            said = json.loads(line)
            rails_mw, temps_c = _numbers(said["rails_mw"]), _numbers(said["temps_c"])
        except (ValueError, KeyError, TypeError, AttributeError):
            return f"no {self._by} reading: {line[:200]!r}"
        if not rails_mw:
            return f"{self._by} knows no power rails of this board: use tegrastats"
        total = total_of(rails_mw, self._declared)
        return Sample(
            board=self._board,
            t_s=t_s,
            power_w=None if total is None else total.power_w(rails_mw),
            source="sensor",
            monotonic_s=monotonic_s,
            rule=None if total is None else f"{total.rule} by {self._by}",
            rails_mw=rails_mw,
            temps_c=temps_c,
        )


def _numbers(said: Mapping[str, object]) -> dict[str, float]:
    return {
        name: value
        for name, value in said.items()
        if isinstance(value, (int, float)) and math.isfinite(value)
    }


def tegrastats_source(
    *,
    board: str,
    interval_ms: int = 100,
    source: Label = "sensor",
    total: Sequence[str] = (),
    program: str = "tegrastats",
    silence_s: float = 10.0,
) -> ChildSource:
    """The board's power by its own tegrastats; ``source`` is "modelled" in a lab."""
    if interval_ms < MINIMUM_INTERVAL_MS:
        raise ValueError(f"interval_ms is {interval_ms}; allowed: {MINIMUM_INTERVAL_MS} or more")
    return ChildSource(
        board=board,
        name="tegrastats",
        argv=(program, "--interval", str(interval_ms)),
        read=TegrastatsLines(board=board, source=source, total=total),
        discard=1,
        silence_s=silence_s,
    )


def jtop_source(
    *,
    board: str,
    interval_s: float = 0.5,
    total: Sequence[str] = (),
    silence_s: float = 30.0,
) -> ChildSource:
    """The board's power from jtop's daemon, read by a helper process of its own.

    Silence is longer here: loading jtop and waiting for its service take seconds on a board.
    """
    if not interval_s > 0:
        raise ValueError(f"interval_s is {interval_s}; it must be above 0")
    return ChildSource(
        board=board,
        name="jtop helper",
        argv=(sys.executable, "-m", "prism_edge.energy.jtop", f"{interval_s:g}"),
        read=HelperLines(board=board, by="jtop", total=total),
        silence_s=silence_s,
    )
