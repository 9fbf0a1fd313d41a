"""What ``prism-edge plan`` is asked about: costs, batch, tokens and link, also imagined ones."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from prism_edge import tables
from prism_edge.cli.sizes import SIZES
from prism_edge.cli.what_if import parse_what_if
from prism_edge.cluster.shaping import parse_rate
from prism_edge.errors import PlanError, SettingsError, TableError
from prism_edge.schedule.cost import Costs, costs_of
from prism_edge.schedule.events import Aim
from prism_edge.schedule.link import LinkState

MOST_BOARDS = 8  # no plan has more ranks


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """The command's options as they were given; 0 and empty are what was profiled."""

    model: str
    batch: int
    tokens: int
    rate: str
    boards: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """All that a decision needs. ``costs``: of the boards in service; ``boards``: them in words.

    ``batches``: those that were measured, of this model or of the one it is scaled from.
    ``given_bps``: the nominal rate of ``link``, if it was named. ``supposed``: what does not exist,
    in words.
    """

    measured: tables.Profile
    costs: Costs
    boards: str
    batches: frozenset[int]
    batch: int
    tokens: int
    link: LinkState | None
    given_bps: float | None
    aim: Aim
    supposed: tuple[str, ...]


def situation(profile: Path, wish: Wish, what_if: str, aim: Aim) -> Situation:
    """What to decide about. Raises ``SettingsError`` or ``PlanError`` for what does not fit."""
    measured = tables.read(profile)
    imagined = parse_what_if(what_if)
    name, base = _models(measured, wish.model, imagined.model)
    costs, supposed = costs_of(measured, base), list[str]()
    if name != base:
        costs = costs.for_shape(name, SIZES[name])
        supposed.append(f"{name}, scaled by operations from {base}")
    real = len(costs.boards)
    if imagined.boards is None:
        count = _boards(wish.boards, real)
        costs = costs.ranked([board.name for board in costs.boards[:count]])
    else:
        count = imagined.boards
        if not 1 <= count <= MOST_BOARDS:
            raise PlanError(f"--what-if boards={count}, allowed is 1 to {MOST_BOARDS}")
        costs = costs.with_boards(count)
        if count > real:
            supposed.append(f"{count} boards, {real} measured")
    rate = imagined.rate or wish.rate
    given_bps, link = None, costs.link
    if rate:
        given_bps = parse_rate(rate)
        if costs.links is None:
            raise TableError(f"{profile}: no link was profiled, so --rate says too little")
        link = costs.links.given(given_bps)
    batch = imagined.batch or wish.batch
    batches = frozenset(row.batch for row in measured.compute if row.model == base)
    if what_if:
        costs = dataclasses.replace(costs, imagined=True)  # also what was not profiled is predicted
        if batch > max(batches, default=0):
            supposed.append(f"batch {batch}, measured up to {max(batches, default=0)}")
    return Situation(
        measured=measured,
        costs=costs,
        boards=_boards_text(costs, real),
        batches=batches,
        batch=batch,
        tokens=_tokens(costs, imagined.tokens or wish.tokens),
        link=link,
        given_bps=given_bps,
        aim=aim,
        supposed=tuple(supposed),
    )


def _models(measured: tables.Profile, model: str, imagined: str | None) -> tuple[str, str]:
    """The model to predict, and the profiled one whose times it has, or is scaled from."""
    known = [entry.name for entry in measured.models]
    holds = f"this profile holds {', '.join(known) or 'no model'}"
    if model and model not in known:
        raise SettingsError(f"--model {model!r} was not profiled; {holds}")
    if imagined is not None and imagined not in known:
        if imagined not in SIZES:
            raise SettingsError(
                f"--what-if model={imagined} is not a known size ({', '.join(SIZES)}); {holds}"
            )
        family = SIZES[imagined].family
        like = [entry.name for entry in measured.models if entry.shape.family == family]
        if not known:
            raise SettingsError(f"--what-if model={imagined}: nothing to scale from; {holds}")
        return imagined, model or (*like, *known)[0]
    name = imagined or model or (known[0] if len(known) == 1 else "")
    if not name:
        raise SettingsError(f"--model is needed; {holds}")
    return name, name


def _boards(boards: int, profiled: int) -> int:
    if not 0 <= boards <= profiled:
        raise PlanError(
            f"--boards {boards}, profiled are {profiled}; "
            f"for boards that do not exist: --what-if boards={boards}"
        )
    return boards or profiled


def _tokens(costs: Costs, tokens: int) -> int:
    shape = costs.shape
    if not tokens:
        return shape.tokens
    if not 0 < tokens <= shape.tokens or (shape.fixed_tokens and tokens != shape.tokens):
        allowed = f"{'' if shape.fixed_tokens else '1 to '}{shape.tokens}"
        raise PlanError(f"--tokens {tokens}, allowed for {costs.model} is {allowed}")
    return tokens


def _boards_text(costs: Costs, real: int) -> str:
    """``edge-1, edge-2 and 2 copies of edge-2``."""
    names = [board.name for board in costs.boards]
    copies = len(names) - real
    text = ", ".join(names[:real])
    if copies <= 0:
        return text
    return f"{text} and {copies} {'copy' if copies == 1 else 'copies'} of {names[-1]}"
