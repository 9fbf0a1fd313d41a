"""A plan's colour: its method's, and a shade of it where the map holds several of one method."""

from __future__ import annotations

from collections.abc import Iterable

from prism_edge.palette import method_of
from prism_edge.plan import Plan

# How much of the method's colour a plan has, the rest is paper; letters tell apart what is alike.
SHADES = (0.82, 0.5, 0.28, 0.66, 0.39)


def shades(plans: Iterable[Plan]) -> dict[Plan, tuple[str, float]]:
    """plan -> (name of its method's tone, share of it); the first of a method is the strongest."""
    found: dict[Plan, tuple[str, float]] = {}
    for plan in plans:
        method = method_of(str(plan))
        before = sum(name == method for name, _ in found.values())
        found[plan] = (method, SHADES[before % len(SHADES)])
    return found


def blend(tone: str, paper: str, share: float) -> str:
    """``share`` of one #rrggbb on the other."""
    mixed = (
        round(share * int(tone[at : at + 2], 16) + (1 - share) * int(paper[at : at + 2], 16))
        for at in (1, 3, 5)
    )
    return "#" + "".join(f"{value:02x}" for value in mixed)
