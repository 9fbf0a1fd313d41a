"""What a run finds out is on disk before the next thing, whatever the clock does meanwhile."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from measured import profile
from rehearsal import Rehearsal

from prism_edge import tables
from prism_edge.errors import SettingsError, TableError
from prism_edge.profile.clock import WallClock
from prism_edge.profile.measured import Measured
from prism_edge.profile.opening import Opening, planned_cells
from prism_edge.profile.record import Record, left_before
from prism_edge.profile.sweep import Wish, plan_sweep
from prism_edge.tables import ComputeRow, Profile
from prism_edge.tables.log import LOG, read_log

BEGAN = "2023-11-14T22:13:20+00:00"


class Wall:
    """A wall clock that can be set."""

    def __init__(self) -> None:
        self.ahead_s = 1_700_000_000.0 - time.monotonic()

    def clock(self) -> WallClock:
        return WallClock(lambda: time.monotonic() + self.ahead_s)


def opening(**changes: object) -> Opening:
    stage = Rehearsal(2)
    sweep = plan_sweep({"net": stage.models[0].shape}, 2, Wish(quick=True, ls=(10,)))
    head = replace(profile(), created=BEGAN, compute=(), link=(), conditions={}, **changes)  # type: ignore[arg-type]
    return Opening(head=head, sweep=sweep, planned=planned_cells(sweep, stage.engines))


def begin(
    directory: Path, *, resume: bool = False, wall: Wall | None = None, **changes: object
) -> Record:
    return Record(
        directory,
        opening(**changes),
        left_before(directory, resume=resume),
        started_s=time.monotonic(),
        clock=(wall or Wall()).clock(),
        resume=resume,
    )


def cell(number: int) -> tuple[ComputeRow, ...]:
    """The repeats of one cell."""
    return profile().compute[5 * number : 5 * number + 5]


def take(record: Record, *numbers: int) -> None:
    for number in numbers:
        record.take(Measured(text="x", key=f"cell {number}", rows=cell(number), weight_s=1.0))


def rows(found: Profile) -> Sequence[ComputeRow]:
    return found.compute


def test_every_finished_cell_is_readable_at_once(tmp_path: Path) -> None:
    record = begin(tmp_path / "out")
    record.take(Measured(text="nothing finished", warning="of this run"))
    assert not (tmp_path / "out").exists()
    take(record, 0)
    assert rows(tables.read(tmp_path / "out")) == cell(0)
    take(record, 1)
    assert rows(tables.read(tmp_path / "out")) == (*cell(0), *cell(1))


def test_a_clock_that_is_set_is_said_and_changes_no_date(tmp_path: Path) -> None:
    wall = Wall()
    record = begin(tmp_path, wall=wall)
    take(record, 0)
    wall.ahead_s -= 86400
    take(record, 1)
    wall.ahead_s += 90000
    take(record, 2)
    killed = tables.read(tmp_path)
    made = record.close({}, None)
    for found in (killed, made, tables.read(tmp_path)):
        assert found.created == BEGAN
        said = [text for text in found.warnings if "the clock was set" in text]
        assert ["back by 86400 s" in said[0], "forward by 90000 s" in said[1]] == [True, True]
        assert rows(found) == (*cell(0), *cell(1), *cell(2))
    assert float(made.conditions["seconds"]) < 3600


def test_a_run_that_resumes_adds_to_what_is_there(tmp_path: Path) -> None:
    first = begin(tmp_path)
    take(first, 0, 1)
    first.close({"load_average_end": "1.0"}, "interrupted")
    wall = Wall()
    wall.ahead_s -= 86400
    second = begin(tmp_path, resume=True, wall=wall)
    assert second.done == {"cell 0", "cell 1"}
    assert second.weight_before_s == 2.0
    take(second, 2)
    made = second.close({"load_average_end": "2.0"}, None)
    assert rows(made) == (*cell(0), *cell(1), *cell(2))
    assert rows(made) == rows(tables.read(tmp_path))
    assert not (tmp_path / LOG).exists()
    assert made.created == BEGAN
    assert made.conditions["load_average_end"] == "1.0"
    assert made.conditions["load_average_end (run 2)"] == "2.0"
    assert any("the clock was set back: the run began at" in text for text in made.warnings)
    assert not any("not finished" in text for text in made.warnings)


def test_warnings_of_rows_that_are_kept_are_kept_with_them(tmp_path: Path) -> None:
    first = begin(tmp_path)
    hot = Measured(text="x", warning="it was hot", lasting=True)
    first.take(hot)
    assert not (tmp_path / LOG).exists()
    take(first, 0)
    first.take(replace(hot, warning="it crept"))
    first.take(Measured(text="x", warning="time was up"))
    killed = tables.read(tmp_path)
    assert {"it was hot", "it crept"} <= set(killed.warnings)
    first.close({}, "interrupted")
    made = begin(tmp_path, resume=True).close({}, None)
    for found in (made, tables.read(tmp_path)):
        assert {"it was hot", "it crept"} <= set(found.warnings)
        assert "time was up" not in found.warnings


def test_conditions_that_were_edited_into_nonsense_are_survived(tmp_path: Path) -> None:
    tables.write(tmp_path, replace(profile(), conditions={"runs": "two", "seconds": "long"}))
    record = begin(tmp_path, resume=True)
    record.take(Measured(text="x", key="more"))
    assert record.close({}, None).conditions["runs"] == "2"


def test_what_is_known_of_accuracy_outlives_a_new_profile(tmp_path: Path) -> None:
    accuracy = tables.AccuracyRow(
        model="net", plan="local", dataset="digits", metric="accuracy", value=0.9, n=100
    )
    tables.write(tmp_path, replace(profile(), accuracy=(accuracy,)))
    record = begin(tmp_path)
    take(record, 0)
    assert record.close({}, None).accuracy == (accuracy,)
    other = tuple(replace(model, fingerprint="beef") for model in profile().models)
    record = begin(tmp_path, models=other)
    take(record, 0)
    assert record.close({}, None).accuracy == ()


def test_a_run_does_not_begin_on_a_log_and_does_not_continue_another(tmp_path: Path) -> None:
    first = begin(tmp_path)
    take(first, 0)
    first.close({}, "interrupted")
    with pytest.raises(SettingsError, match="continue it by --resume, remove the file"):
        left_before(tmp_path, resume=False)
    with pytest.raises(TableError, match=r"cannot be resumed: prism-edge was '0\.1\.0', is '9'"):
        begin(tmp_path, resume=True, version="9")
    log = read_log(tmp_path)
    assert log is not None
    assert log.keys == {"cell 0"}


def test_a_key_is_taken_once_also_by_a_run_that_resumes(tmp_path: Path) -> None:
    first = begin(tmp_path)
    take(first, 0)
    with pytest.raises(AssertionError, match="cell 0"):
        take(first, 0)
    first.close({}, "interrupted")
    second = begin(tmp_path, resume=True)
    with pytest.raises(AssertionError, match="cell 0"):
        take(second, 0)
    take(second, 1)
    assert rows(second.close({}, None)) == (*cell(0), *cell(1))


def test_whole_tables_to_which_nothing_is_added_have_no_log(tmp_path: Path) -> None:
    tables.write(tmp_path, profile())
    record = begin(tmp_path, resume=True)
    record.take(Measured(text="x", warning="of this run"))
    assert record.profile() == profile()
    assert record.untouched
    said = record.unchanged()
    assert replace(said, warnings=profile().warnings) == profile()
    assert said.warnings[-1] == "of this run"
    assert set(profile().warnings) < set(said.warnings)
    assert not (tmp_path / LOG).exists()
    assert tables.read(tmp_path) == profile()
    record.take(Measured(text="x", key="more"))
    assert not record.untouched
    assert (tmp_path / LOG).exists()
