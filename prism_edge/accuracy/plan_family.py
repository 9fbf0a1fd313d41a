"""The plans that one checkpoint shall serve, and one of them drawn at a time.

``prism:p=2..4,l=4..10,dtype=fp32|fp16`` stands for every plan with one of these values each:
``a..b`` is every whole number from a to b, ``a|b`` is either; ``;`` is between families.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from prism_edge.errors import PlanError
from prism_edge.layout import ModelShape, check_fits
from prism_edge.plan import Plan

RANGE = re.compile(r"(\d{1,5})\.\.(\d{1,5})")
MOST = 10_000  # plans of one family


@dataclass(frozen=True, slots=True)
class PlanFamily:
    """``entries``: the plans of each part; a part with any is drawn first, then a plan of it."""

    entries: tuple[tuple[Plan, ...], ...]

    @classmethod
    def parse(cls, text: str) -> PlanFamily:
        """Raises ``PlanError`` that names what does not parse, or when there is no plan."""
        entries = tuple(expanded(part) for part in text.split(";") if part.strip())
        if not entries:
            raise PlanError("no plan is named; an example: 'prism:p=2,l=4..10;voltage:p=2'")
        return cls(entries)

    @property
    def plans(self) -> tuple[Plan, ...]:
        return tuple(dict.fromkeys(plan for entry in self.entries for plan in entry))

    def fitting(self, shape: ModelShape, tokens: int) -> PlanFamily:
        """The part of it that answers samples of so many tokens.

        Raises ``PlanError`` when there is none.
        """
        kept = tuple(tuple(p for p in entry if _fits(p, shape, tokens)) for entry in self.entries)
        if not any(kept):  # the reason is the first plan's
            check_fits(self.plans[0], shape, self.plans[0].p, tokens, self.plans[0].p)
        return PlanFamily(kept)

    def draw(self, source: np.random.Generator) -> Plan:
        some = [entry for entry in self.entries if entry]
        entry = some[int(source.integers(len(some)))]
        return entry[int(source.integers(len(entry)))]


def in_turn(batches: Sequence[PlanFamily]) -> list[tuple[int, PlanFamily]]:
    """Places of batches, each with one part of what fits it: parts take turns, and every part that
    fits any of them is there. ``batches``: what of one family fits each."""
    able = [[number for number, plans in enumerate(fits.entries) if plans] for fits in batches]
    times: Counter[int] = Counter()
    found = []
    for place, numbers in enumerate(able):
        number = min(numbers, key=lambda n: (times[n], n))
        times[number] += 1
        found.append((place, number))
    for number in sorted({n for numbers in able for n in numbers} - times.keys()):
        places = [place for place, numbers in enumerate(able) if number in numbers]
        found.append((places[number % len(places)], number))
    return [(place, PlanFamily((batches[place].entries[number],))) for place, number in found]


def expanded(text: str) -> tuple[Plan, ...]:
    """Every plan that one text form with ranges stands for."""
    method, colon, rest = text.strip().partition(":")
    options = []
    for item in filter(None, rest.split(",")):
        key, equals, value = item.partition("=")
        options.append([f"{key}{equals}{one}" for one in _values(text, value)])
    count = int(np.prod([len(option) for option in options]))
    if count > MOST:
        raise PlanError(f"plan {text.strip()!r} stands for {count} plans, at most {MOST} may be")
    return tuple(Plan.parse(method + colon + ",".join(chosen)) for chosen in product(*options))


def _values(text: str, value: str) -> list[str]:
    found = []
    for part in value.split("|"):
        ends = RANGE.fullmatch(part)
        if ends is None:
            found.append(part)
            continue
        low, high = int(ends[1]), int(ends[2])
        if low > high:
            raise PlanError(f"plan {text.strip()!r}: {part} goes down; write {high}..{low}")
        found += [str(number) for number in range(low, high + 1)]
    return found


def _fits(plan: Plan, shape: ModelShape, tokens: int) -> bool:
    try:
        check_fits(plan, shape, plan.p, tokens, plan.p)
    except PlanError:
        return False
    return True
