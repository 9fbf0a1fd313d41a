"""A decision map of a profile made of arithmetic, and what tests ask of it."""

from __future__ import annotations

from functools import cache

from measured import profile

from prism_edge.decision_map.grid import Grid, grid
from prism_edge.decision_map.words import Heading
from prism_edge.schedule.cost import costs_of
from prism_edge.schedule.events import Aim

HEAD = Heading(
    model="net",
    tokens=197,
    boards="edge-1, edge-2",
    cluster="paper",
    kind="lab",
    measured="2025-01-02",
    aim=Aim(),
)


@cache
def paper_map(batches: tuple[int, ...] = (1, 2, 4), boards: int = 2) -> Grid:
    """The map of two measured boards, or of more that are like them."""
    costs = costs_of(profile(batches=batches), "net").with_boards(boards)
    return grid(costs, Aim(), tokens=197, measured=frozenset(batches))
