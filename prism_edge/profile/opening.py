"""What a run is about: boards, models and settings, known before anything is measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import comb

from prism_edge import __version__, tables
from prism_edge.profile.conditions import facts_of, load_average
from prism_edge.profile.engines import Engines
from prism_edge.profile.place import Place
from prism_edge.profile.run import meet, possible
from prism_edge.profile.sensors import Sensors
from prism_edge.profile.sweep import Sweep, Wish, plan_sweep
from prism_edge.settings import BoardSettings, Settings
from prism_edge.tables.rows import Power

IDLE_S, QUICK_IDLE_S = 20.0, 3.0  # for the power of boards that do nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """``head``: the profile without rows; ``planned``: cells by table."""

    head: tables.Profile
    sweep: Sweep
    planned: Mapping[str, int]


def open_run(
    settings: Settings,
    place: Place,
    engines: Engines,
    sensors: Sensors,
    wish: Wish,
    *,
    started: str,
    command: str,
    rested: bool,
) -> Opening:
    """What this run will measure, and on what. ``rested``: idle power is known from before."""
    models = engines.models
    sweep = plan_sweep({model.name: model.shape for model in models}, len(place.hosts), wish)
    facts = [facts_of(host) for host in place.hosts]
    metered = any(board.power != "none" for board in settings.ranked)
    idle_w: list[float | None] = [None] * len(place.hosts)
    if metered and not rested:
        idle_w = sensors.rest(QUICK_IDLE_S if wish.quick else IDLE_S)
    emulated = emulation_warning(settings)
    head = tables.Profile(
        created=started,
        version=__version__,
        cluster=settings.name,
        kind=settings.kind,
        boards=tuple(
            board_info(
                board,
                {**facts[rank], **sensors.facts(rank)},
                {key: engines.fact(rank, key) for key in ("torch", "device")},
                sensors.power(rank),
                idle_w[rank],
            )
            for rank, board in enumerate(settings.ranked)
        ),
        models=tuple(
            tables.ModelEntry(name=model.name, fingerprint=model.fingerprint, shape=model.shape)
            for model in models
        ),
        link_description=place.link,
        sweep=describe_wish(wish),
        conditions={
            "command": command,
            "started": started,
            "load_average_start": load_average(),
        },
        warnings=(
            *([emulated] if emulated else []),
            *(f"not measured: {reason}" for reason in sweep.skipped),
        ),
    )
    return Opening(head=head, sweep=sweep, planned=planned_cells(sweep, engines))


def as_asked(then: tables.Profile, settings: Settings, wish: Wish, link: str) -> tables.Profile:
    """What is kept, without rows, as these settings would have it; what only engines and boards
    can say is as it was then."""
    boards = {board.name: board for board in then.boards}
    models = {model.name: model for model in then.models}
    unknown = tables.BoardInfo(name="", device="")
    return replace(
        then,
        version=__version__,
        cluster=settings.name,
        kind=settings.kind,
        link_description=link,
        sweep=describe_wish(wish),
        boards=tuple(
            replace(
                (known := boards.get(board.name, unknown)),
                name=board.name,
                facts={**known.facts, "device": board.device, "dtype": board.dtype},
            )
            for board in settings.ranked
        ),
        models=tuple(
            models.get(model.name, replace(then.models[0], name=model.name))
            for model in settings.models
        ),
        compute=(),
        staging=(),
        link=(),
        request=(),
        accuracy=(),
    )


def planned_cells(sweep: Sweep, engines: Engines) -> dict[str, int]:
    """How many cells, pairs of boards and kinds of request the sweep is about."""
    return {
        "compute": sum(len(cells) for cells in sweep.cells),
        "link": comb(len(engines.hosts), 2) if meet(engines) else 0,
        "request": len(possible(engines, sweep)),
    }


def board_info(
    board: BoardSettings,
    facts: Mapping[str, str],
    engine: Mapping[str, str],
    power: Power,
    idle_w: float | None,
) -> tables.BoardInfo:
    """A board as the profile describes it."""
    return tables.BoardInfo(
        name=board.name,
        device=engine["device"],
        power=power,
        idle_w=None if idle_w is None else max(0.0, idle_w),
        facts={**facts, "torch": engine["torch"], "device": board.device, "dtype": board.dtype},
    )


def describe_wish(wish: Wish) -> dict[str, str]:
    """The settings of a sweep as text."""
    return {
        "batches": _listed(wish.batches),
        "l": _listed(wish.ls),
        "tokens": _listed(wish.tokens) or "usual",
        "quick": str(wish.quick).lower(),
        "seed": str(wish.seed),
    }


def emulation_warning(settings: Settings) -> str | None:
    """What must be said about a cluster that is not made of boards."""
    if settings.kind == "boards":
        return None
    return f"emulated ({settings.kind}): boards are processes of one machine and share its memory"


def _listed(values: Sequence[int]) -> str:
    return ",".join(str(value) for value in values)
