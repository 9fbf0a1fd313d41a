"""How fast decisions follow a change, and how often they change when nothing else does. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from prism_edge.bench.contest import Round
from prism_edge.bench.score import Best, Cell, cell_of

TOLERANCE = 0.05  # a plan this much slower than the oracle's is as good
SOON_REQUESTS, SOON_S = 3, 2.0  # a change is followed in time within either
SETTLED = 10  # requests after a change from which on a switch is flapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Reaction:
    """How a change was followed. ``requests``: answered badly before the first good decision that
    tells; ``seconds``: until then, on the player's clock.

    ``telling``: requests for which the plan before would have been bad; without any nothing had to
    be followed, and all tell. ``followed``: False when no decision that tells was good.
    """

    situation: int
    requests: int
    seconds: float
    telling: int
    followed: bool

    @property
    def in_time(self) -> bool:
        """Followed within three requests or two seconds."""
        return self.followed and (self.requests <= SOON_REQUESTS or self.seconds <= SOON_S)


def reactions(rounds: Sequence[Round], best: Mapping[Cell, Best]) -> list[Reaction]:
    """One for every situation but the first.

    A good decision counts as following only where sticking to the plan of the same batch size
    before the change would have been bad: else it may be luck. A batch size that did not come
    before tells nothing.
    """
    before: dict[tuple[str, int], str] = {}
    found = []
    for number, group in groupby(rounds, key=lambda one: one.situation):
        inside = list(group)
        if before:
            found.append(_reaction(number, inside, before, best))
        before |= {(one.model, one.batch): one.adaptive.plan for one in inside}
    return found


def _reaction(
    number: int,
    rounds: Sequence[Round],
    before: Mapping[tuple[str, int], str],
    best: Mapping[Cell, Best],
) -> Reaction:
    good = [best[cell_of(one)].good(one.adaptive.plan, TOLERANCE) for one in rounds]
    olds = [before.get((one.model, one.batch)) for one in rounds]
    tells = [
        old is not None and not best[cell_of(one)].good(old, TOLERANCE)
        for one, old in zip(rounds, olds, strict=True)
    ]
    counts = tells if any(tells) else [True] * len(rounds)
    end = next((k for k in range(len(rounds)) if good[k] and counts[k]), None)
    bad = good[:end].count(False)
    return Reaction(
        situation=number,
        requests=bad,
        seconds=rounds[-1 if end is None else end].at_s if bad else 0.0,
        telling=sum(tells),
        followed=end is not None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Flapping:
    """Switches of plan between requests of one batch size while nothing changed. ``chances``: pairs
    of such requests."""

    switches: int
    chances: int

    @property
    def per_100(self) -> float | None:
        """Switches per hundred requests; None when there was no chance of any."""
        return 100 * self.switches / self.chances if self.chances else None


def flapping(rounds: Sequence[Round], steady: Sequence[bool]) -> Flapping:
    """Of the steady situations; the requests right after a change are left out."""
    switches = chances = 0
    for number, group in groupby(rounds, key=lambda one: one.situation):
        last: dict[tuple[str, int], str] = {}
        for one in list(group)[SETTLED:] if steady[number] else ():
            key = one.model, one.batch
            chances += key in last
            switches += last.get(key, one.adaptive.plan) != one.adaptive.plan
            last[key] = one.adaptive.plan
    return Flapping(switches=switches, chances=chances)
