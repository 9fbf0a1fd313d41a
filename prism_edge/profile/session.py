"""One profiling session: a cluster and models in, a profile on disk out, also if interrupted."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import TypeVar

from prism_edge import __version__, tables
from prism_edge.errors import PrismError
from prism_edge.profile.conditions import facts_of, load_average
from prism_edge.profile.engines import Engines, start_engines
from prism_edge.profile.measured import Measured
from prism_edge.profile.place import Place, find_place
from prism_edge.profile.run import measure_all
from prism_edge.profile.sweep import Sweep, Wish, plan_sweep
from prism_edge.settings import BoardSettings, Settings
from prism_edge.tables.rows import Row

_R = TypeVar("_R", bound=Row)

# longest silence inside an exchange: a payload of a megabyte takes 8 s at 1 Mbit/s
EXCHANGE_TIMEOUT_S = 60.0
QUICK_AIM_S = 75.0  # a quick sweep drops repeats for it, but no cell: without one no plan is chosen
FOREVER_S = float("inf")


@dataclass(slots=True)
class Session:
    """What has been measured so far."""

    settings: Settings
    place: Place
    boards: tuple[tables.BoardInfo, ...]
    models: tuple[tables.ModelEntry, ...]
    sweep: Sweep
    wish: Wish
    conditions: dict[str, str]
    rows: list[Row] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def profile(self) -> tables.Profile:
        """Everything measured so far, as it goes to disk."""
        return tables.Profile(
            created=self.conditions["started"],
            version=__version__,
            cluster=self.settings.name,
            kind=self.settings.kind,
            boards=self.boards,
            models=self.models,
            link_description=self.place.link,
            sweep=describe_wish(self.wish),
            conditions=dict(self.conditions),
            warnings=tuple(dict.fromkeys(self.warnings)),
            compute=_of(self.rows, tables.ComputeRow),
            staging=_of(self.rows, tables.StagingRow),
            link=_of(self.rows, tables.LinkRow),
            request=_of(self.rows, tables.RequestRow),
        )


def profile_cluster(
    settings: Settings,
    wish: Wish,
    directory: Path,
    *,
    max_seconds: float | None,
    tell: Callable[[Measured, float], None],
) -> tables.Profile:
    """The profile of a cluster, measured now and written to ``directory``.

    ``tell(measured, total_s)`` hears of everything as it arrives. Ctrl-C, or a board that is lost
    half-way, leaves what was finished on disk with a warning, and is raised again.
    """
    started_s = time.monotonic()
    place = find_place(settings)
    with start_engines(
        place.hosts,
        settings.models,
        [(board.device, board.dtype) for board in settings.ranked],
        timeout_s=EXCHANGE_TIMEOUT_S,
        pace_file=place.pace_file,
    ) as engines:
        session = _open(settings, place, engines, wish)
        stopped: str | None = None
        try:
            for measured in measure_all(
                engines,
                session.sweep,
                aim_s=started_s + (QUICK_AIM_S if wish.quick else FOREVER_S),
                deadline_s=started_s + (FOREVER_S if max_seconds is None else max_seconds),
            ):
                session.rows += measured.rows
                if measured.warning:
                    session.warnings.append(measured.warning)
                tell(measured, session.sweep.weight_s)
        except KeyboardInterrupt:
            stopped = "interrupted"
            raise
        except PrismError as error:
            stopped = str(error)
            raise
        finally:
            session.conditions |= {
                "seconds": f"{time.monotonic() - started_s:.1f}",
                "load_average_end": load_average(),
            }
            if stopped is not None:
                session.warnings.append(f"not finished: {stopped}")
            if session.rows:
                tables.write(directory, session.profile())
    return session.profile()


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


def board_info(
    board: BoardSettings, facts: Mapping[str, str], engine: Mapping[str, str]
) -> tables.BoardInfo:
    """A board as the profile describes it."""
    return tables.BoardInfo(
        name=board.name,
        device=engine["device"],
        power=board.power,
        facts={**facts, "torch": engine["torch"], "device": board.device, "dtype": board.dtype},
    )


def _open(settings: Settings, place: Place, engines: Engines, wish: Wish) -> Session:
    models = engines.models
    sweep = plan_sweep({model.name: model.shape for model in models}, len(place.hosts), wish)
    boards = tuple(
        board_info(
            board,
            facts_of(host),
            {key: engines.fact(rank, key) for key in ("torch", "device")},
        )
        for rank, (board, host) in enumerate(zip(settings.ranked, place.hosts, strict=True))
    )
    session = Session(
        settings=settings,
        place=place,
        boards=boards,
        models=tuple(
            tables.ModelEntry(name=model.name, fingerprint=model.fingerprint, shape=model.shape)
            for model in models
        ),
        sweep=sweep,
        wish=wish,
        conditions={
            "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "load_average_start": load_average(),
        },
    )
    emulated = emulation_warning(settings)
    session.warnings += [emulated] if emulated else []
    session.warnings += [f"not measured: {reason}" for reason in sweep.skipped]
    return session


def _of(rows: Sequence[Row], kind: type[_R]) -> tuple[_R, ...]:
    return tuple(row for row in rows if isinstance(row, kind))


def _listed(values: Sequence[int]) -> str:
    return ",".join(str(value) for value in values)
