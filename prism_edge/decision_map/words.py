"""What a map says in words, the same on paper and on the page: headings, legends, readings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from prism_edge.decision_map.grid import Grid, Spot
from prism_edge.report.units import bits_per_second, percent, seconds
from prism_edge.schedule.events import Aim

DOUBT = "not certain: the best two overlap"
EXTRAPOLATED = "extrapolated: guessed, not measured"
APART = 2  # bands between two rates whose names fit beside them


@dataclass(frozen=True, slots=True, kw_only=True)
class Heading:
    """What the map is of. ``boards``: in words; ``supposed``: what does not exist, if anything."""

    model: str
    tokens: int
    boards: str
    cluster: str
    kind: str
    measured: str
    aim: Aim
    supposed: tuple[str, ...] = ()
    ruled_out: str = ""

    @property
    def title(self) -> str:
        return f"{self.model}: the plan to choose, by batch and link rate"

    @property
    def source(self) -> str:
        """``lab, emulated``; ``boards`` when they are real."""
        return self.kind if self.kind == "boards" else f"{self.kind}, emulated"

    @property
    def where(self) -> str:
        """On what this was measured, and when."""
        return f"cluster {self.cluster}: {self.source} · {self.boards} · measured {self.measured}"

    def lead(self, level: float) -> str:
        """What the line of a margin means."""
        share = f"{level:.0%}".replace("%", " %")
        if self.aim.objective == "latency":
            return f"next best takes {share} longer"
        return f"next best needs {share} more"

    @property
    def how(self) -> str:
        """What is asked for and what is minimised; what is supposed."""
        aim = f"{self.aim} ({self.ruled_out})" if self.ruled_out else str(self.aim)
        parts = (f"{self.tokens} tokens", aim)
        return " · ".join((*parts, *(f"what if: {text}" for text in self.supposed)))


def reading(spot: Spot) -> str:
    """One cell in a sentence or two."""
    where = f"batch {spot.batch} over {bits_per_second(spot.rate_bps)}"
    if spot.plan is None or spot.latency_s is None:
        return f"{where}: nothing is predicted"
    text = f"{where}: {spot.plan} {seconds(spot.latency_s)}"
    text += f" ({seconds(spot.low_s)} to {seconds(spot.high_s)})"
    if spot.runner_up is not None:
        text += f"; next {spot.runner_up} {seconds(spot.runner_up_s)}"
        text += f", margin {percent(spot.margin)}"
    if spot.extrapolated:
        return f"{text}; {EXTRAPOLATED}"
    return f"{text}; {DOUBT}" if spot.doubtful else text


@dataclass(frozen=True, slots=True)
class Mark:
    """A rate that is marked on the map: its height in bands, a short name, the whole in words, and
    which way the name leans to keep clear of another."""

    height: float
    name: str
    text: str
    lean: Literal["level", "up", "down"]


def marks(grid: Grid) -> list[Mark]:
    """The link as profiled, and the one that was asked about."""
    named = (("profiled", "as profiled", grid.profiled_bps), ("given", "as given", grid.given_bps))
    rates = [(name, text, bps) for name, text, bps in named if bps is not None]
    heights = [grid.height(bps) for _, _, bps in rates]
    crowded = len(heights) == 2 and abs(heights[0] - heights[1]) < APART
    found = []
    for number, (name, text, bps) in enumerate(rates):
        upper = crowded and (heights[number], number) > (heights[1 - number], 1 - number)
        lean: Literal["level", "up", "down"] = "level" if not crowded else "up" if upper else "down"
        found.append(Mark(heights[number], name, f"{text}: {bits_per_second(bps)}", lean))
    return found
