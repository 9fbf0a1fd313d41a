"""``prism-edge plan --map``: the decision at every batch and link rate, as picture and page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prism_edge.cli.plan_situation import Situation
    from prism_edge.decision_map.grid import Grid
    from prism_edge.decision_map.words import Heading


def made(found: Situation) -> tuple[Grid, Heading]:
    """The map of a situation, and what stands above it."""
    from prism_edge.decision_map.grid import grid
    from prism_edge.decision_map.words import Heading

    measured = found.measured
    cells = grid(
        found.costs,
        found.aim,
        tokens=found.tokens,
        measured=found.batches,
        given_bps=found.given_bps,
    )
    head = Heading(
        model=found.costs.model,
        tokens=found.tokens,
        boards=found.boards,
        cluster=measured.cluster,
        kind=measured.kind,
        measured=f"{measured.created:.10}",
        aim=found.aim,
        supposed=found.supposed,
        ruled_out=_ruled_out(found, cells),
    )
    return cells, head


def _ruled_out(found: Situation, cells: Grid) -> str:
    """What a budget of accuracy takes off the map."""
    from prism_edge.schedule.accuracy import ruled_out
    from prism_edge.schedule.policy import Menu

    limit, menu = found.aim.max_accuracy_drop, Menu(found.costs, found.aim)
    if limit is None:
        return ""
    dishes = [menu.dish(batch, found.tokens) for batch in cells.batches]
    return ruled_out({item.plan for dish in dishes for item in dish.out}, found.costs.drops, limit)


def draw(found: Situation, out: Path, *, as_json: bool) -> None:
    """Write the map, and print where it is."""
    from prism_edge.decision_map.files import targets, write_map

    targets(out)  # refused before anything is computed
    cells, head = made(found)
    paths = write_map(cells, head, out)
    if as_json:
        plans = [str(plan) for plan in cells.plans]
        print(json.dumps({"files": [str(path) for path in paths], "plans": plans}))
    else:
        print("\n".join(map(str, paths)))
