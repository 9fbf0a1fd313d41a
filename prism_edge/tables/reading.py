"""The profile of a directory, finished or not: from its tables, or from the log beside them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from prism_edge.errors import TableError
from prism_edge.tables.doubtful import missing_boards
from prism_edge.tables.files import Found, read_tables
from prism_edge.tables.log import LOG, NOT_FINISHED, Unfinished, read_log
from prism_edge.tables.rows import TABLES, Profile, cell, identity, measured_against

COMMAND = "prism-edge profile"


def read(directory: Path) -> Profile:
    """The profile in ``directory``, checked; what a reader should know of it is in its warnings.

    A run that was killed has left its log: the profile is then what was finished. Only tables of
    another run that are whole stay in force beside a log. Raises ``TableError`` naming file, line
    and remedy.
    """
    found, log, problem = None, None, None
    try:
        found = read_tables(directory)
    except TableError as error:
        problem = error
    try:
        log = read_log(directory)
    except TableError as error:
        if found is None:
            raise
        found = replace(found, doubts=(*found.doubts, str(error)))
    if log is not None and log.keys and (found is None or superseded(found, log)):
        profile = log.profile if found is None else with_accuracy(log.profile, found.profile)
        return _told(profile, doubts_of(directory, log))
    if found is None:
        assert problem is not None
        raise problem
    beside = f"{directory / LOG}: a later run is {said_of(log)}" if log and log.keys else None
    return _told(found.profile, [*found.doubts, *([beside] if beside else [])])


def superseded(found: Found, log: Unfinished) -> bool:
    """True when a log takes the place of the tables beside it: they are damaged, partial, or of the
    same run; or the log's run lacks nothing."""
    if log.swept or found.edited or partial(found.profile):
        return True
    return rows_in(found.profile) <= rows_in(log.profile)


def partial(profile: Profile) -> bool:
    """True when the run that measured it did not end as planned."""
    return any(text.startswith(NOT_FINISHED) for text in profile.warnings)


def with_accuracy(profile: Profile, older: Profile) -> Profile:
    """The same with what ``older`` says of the accuracy of the same models."""
    same = {(model.name, model.fingerprint) for model in profile.models}
    kept = {model.name for model in older.models if (model.name, model.fingerprint) in same}
    known = {identity(row) for row in profile.accuracy}
    more = [row for row in older.accuracy if row.model in kept and identity(row) not in known]
    about = {measured_against(row.model, row.dataset) for row in more}
    said = {key: text for key, text in older.conditions.items() if key in about}
    return replace(
        profile,
        accuracy=(*profile.accuracy, *more),
        conditions={**profile.conditions, **said},
    )


def rows_in(profile: Profile) -> set[object]:
    """Every row of every table but accuracy, which no run measures."""
    return {row for table in TABLES if table != "accuracy" for row in getattr(profile, table)}


def doubts_of(directory: Path, log: Unfinished) -> Iterator[str]:
    """What a reader of an unfinished profile should know."""
    yield said_of(log)
    if log.torn:
        yield f"{directory / LOG}: the last line was cut off; its cell was not finished"
    yield from missing_boards(log.profile)


def said_of(log: Unfinished) -> str:
    """What a log lacks, and the command that continues."""
    command = resume_command(log.profile)
    if log.swept:
        return f"measured, but was cut off before its end; `{command}` writes the tables"
    return f"{NOT_FINISHED}{covered(log)}; `{command}` measures the rest"


def covered(log: Unfinished) -> str:
    """Cells by table that were measured at least once, and how many there are."""
    done = {
        "compute": len({cell(row) for row in log.profile.compute}),
        "link": len({frozenset((row.src, row.dst)) for row in log.profile.link}),
        "request": len({cell(row) for row in log.profile.request}),
    }
    units = {"compute": "compute cells", "link": "links", "request": "kinds of request"}
    return ", ".join(
        f"{done[table]} of {count} {units[table]}" for table, count in log.planned.items()
    )


def resume_command(profile: Profile) -> str:
    """The command that continues the run a profile is of."""
    return f"{profile.conditions.get('command', COMMAND)} --resume"


def _told(profile: Profile, doubts: Iterable[str]) -> Profile:
    return replace(profile, warnings=tuple(dict.fromkeys((*profile.warnings, *doubts))))
