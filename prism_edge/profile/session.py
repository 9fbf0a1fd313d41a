"""One profiling session: a cluster and models in, a profile on disk out, whatever ends it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from prism_edge.errors import ClusterError, PrismError
from prism_edge.profile.clock import WallClock
from prism_edge.profile.conditions import load_average
from prism_edge.profile.engines import Engines, start_engines
from prism_edge.profile.interruption import interruptible
from prism_edge.profile.opening import as_asked, open_run
from prism_edge.profile.place import find_place, link_of
from prism_edge.profile.progress import Progress
from prism_edge.profile.record import Record, check_same, left_before
from prism_edge.profile.refine import Doubts, refine
from prism_edge.profile.run import measure_all, missing
from prism_edge.profile.sensors import Sensors, start_sensors
from prism_edge.profile.sweep import Sweep, Wish
from prism_edge.settings import Settings
from prism_edge.tables import Profile
from prism_edge.tables.reading import COMMAND

# longest silence inside an exchange: a payload of a megabyte takes 8 s at 1 Mbit/s
EXCHANGE_TIMEOUT_S = 60.0
QUICK_AIM_S = 150.0  # a quick sweep drops repeats and rounds for it, but no cell
FOREVER_S = float("inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What was measured. ``stopped``: why not everything was; None when nothing is missing."""

    profile: Profile
    stopped: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """When a session ends, on the monotonic clock."""

    started_s: float
    aim_s: float
    deadline_s: float


def profile_cluster(
    settings: Settings,
    wish: Wish,
    directory: Path,
    *,
    progress: Progress,
    max_seconds: float | None = None,
    resume: bool = False,
    doubts: Doubts | None = None,
    command: str = COMMAND,
) -> Outcome:
    """The profile of a cluster, measured now and kept in ``directory``.

    ``resume``: go on with what is kept there; with nothing there, begin. ``doubts``: names the
    cells to refine in the time left of ``max_seconds``. ``command``: what the user typed, for
    messages. Ctrl-C, SIGTERM, a lost board and the end of the time leave what was finished, to be
    resumed; they are raised when nothing was.
    """
    started_s = time.monotonic()
    limits = Limits(
        started_s=started_s,
        aim_s=started_s + (QUICK_AIM_S if wish.quick else FOREVER_S),
        deadline_s=started_s + (FOREVER_S if max_seconds is None else max_seconds),
    )
    before = left_before(directory, resume=resume)
    if resume and before.log is None and before.tables is not None and doubts is None:
        asked = as_asked(before.tables, settings, wish, link_of(settings)[1])
        check_same(directory, before.tables, asked)
        return Outcome(profile=before.tables, stopped=None)
    place = find_place(settings)
    clock = WallClock()
    with (
        interruptible(),
        start_engines(
            place.hosts,
            settings.models,
            [(board.device, board.dtype) for board in settings.ranked],
            timeout_s=EXCHANGE_TIMEOUT_S,
            pace_file=place.pace_file,
        ) as engines,
        start_sensors(place.hosts, settings.ranked) as sensors,
    ):
        opening = open_run(
            settings,
            place,
            engines,
            sensors,
            wish,
            started=clock.now(),
            command=command,
            rested=resume and before.profile is not None,
        )
        record = Record(directory, opening, before, started_s=started_s, clock=clock, resume=resume)
        stopped = None
        if not (resume and before.swept):
            stopped = _sweep(engines, sensors, opening.sweep, record, progress, limits)
        if stopped is None and doubts is not None:
            _refine(engines, sensors, opening.sweep, record, progress, limits, doubts)
        record.warn(sensors.warnings())
        if record.untouched:
            return Outcome(profile=record.unchanged(), stopped=None)  # nothing was refined
        conditions = {"load_average_end": load_average(), **sensors.conditions()}
        profile = record.close(conditions, stopped)
    return Outcome(profile=profile, stopped=stopped)


def _sweep(
    engines: Engines,
    sensors: Sensors,
    sweep: Sweep,
    record: Record,
    progress: Progress,
    limits: Limits,
) -> str | None:
    """Why the sweep did not end; None when it did. Raises what ended it when nothing was kept."""
    done_s = already_s = record.weight_before_s
    cut = False
    try:
        for measured in measure_all(
            engines,
            sweep,
            aim_s=limits.aim_s,
            deadline_s=limits.deadline_s,
            done=record.done,
            sensors=sensors,
        ):
            record.take(measured)
            cut |= measured.cut
            done_s += measured.weight_s
            progress.advance(measured.text, done_s, sweep.weight_s, already_s)
    except (KeyboardInterrupt, PrismError) as error:
        if not record.done:
            raise
        return why_of(error)
    left = missing(engines, sweep, record.done)
    for rank, host in enumerate(engines.hosts):
        if left and (why := sensors.changed(rank)) is not None:
            return f"board {host.name}: {why} during the sweep"
    # with an aim before the deadline, later rounds are left out on purpose
    late = time.monotonic() >= limits.deadline_s or limits.deadline_s <= limits.aim_s
    if cut or (left and late):
        if not record.done:
            raise ClusterError("time was up before anything was measured; allow more --max-seconds")
        return "time was up"
    record.swept()
    return None


def _refine(
    engines: Engines,
    sensors: Sensors,
    sweep: Sweep,
    record: Record,
    progress: Progress,
    limits: Limits,
    doubts: Doubts,
) -> None:
    """The time left is spent; what ends it early is a warning, as nothing is missing. Raises what
    ended it before anything was refined of whole tables."""
    before_s, all_s = time.monotonic() - limits.started_s, limits.deadline_s - limits.started_s
    progress.advance("refining", before_s, all_s, before_s)
    try:
        for measured in refine(
            engines, sweep, doubts, record.profile, deadline_s=limits.deadline_s, sensors=sensors
        ):
            record.take(measured)
            passed_s = time.monotonic() - limits.started_s
            progress.advance(f"refining: {measured.text}", passed_s, all_s, before_s)
    except (KeyboardInterrupt, PrismError) as error:
        if record.untouched:
            raise
        record.warn([f"refining ended early: {why_of(error)}"])


def why_of(error: BaseException) -> str:
    """What ended a run, on one line."""
    return " ".join(str(error).split()) or "interrupted"
