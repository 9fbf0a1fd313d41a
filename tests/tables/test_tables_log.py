"""The log of an unfinished run: wherever it was cut, all that was finished is there."""

from __future__ import annotations

import dataclasses
import os
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from measured import profile

from prism_edge import tables
from prism_edge.errors import TableError
from prism_edge.tables import Profile
from prism_edge.tables.digest import digest
from prism_edge.tables.log import LOG, SWEPT, Log, read_log
from prism_edge.tables.rows import Row, cell

PLANNED = {"compute": 16, "link": 1, "request": 2}


def head() -> Profile:
    return dataclasses.replace(
        profile(batches=(1,)),
        compute=(),
        link=(),
        conditions={"command": "prism-edge profile --cluster c.toml"},
    )


def by_cell() -> dict[str, tuple[Row, ...]]:
    """What a run finishes, in its order."""
    found: dict[str, tuple[Row, ...]] = {}
    measured = profile(batches=(1,))
    for row in (*measured.link, *measured.compute):
        key = "/".join(map(str, cell(row)))
        found[key] = (*found.get(key, ()), row)
    return found


def logged(directory: Path) -> list[int]:
    """A log of everything; the size of the file after its head and after every cell."""
    sizes = []
    with Log.begin(directory, head(), PLANNED) as log:
        sizes.append((directory / LOG).stat().st_size)
        for key, rows in by_cell().items():
            log.cell(key, rows, weight_s=2.0, warning=f"about {key}")
            sizes.append((directory / LOG).stat().st_size)
    return sizes


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_log_cut_anywhere_keeps_every_cell_that_was_finished(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    directory = tmp_path_factory.mktemp("log")
    sizes = logged(directory)
    size = data.draw(st.integers(0, sizes[-1]))
    whole = (directory / LOG).read_bytes()
    (directory / LOG).write_bytes(whole[:size])
    finished = sum(size >= after for after in sizes)  # lines, the head included
    found = read_log(directory)
    if finished == 0:
        assert found is None
        return
    assert found is not None
    keys = list(by_cell())[: finished - 1]
    assert found.keys == set(keys)
    assert found.weight_s == 2.0 * len(keys)
    rows = [row for key in keys for row in by_cell()[key]]
    assert [*found.profile.link, *found.profile.compute] == rows
    assert found.torn == (size not in sizes)
    with Log.proceed(directory, found) as log:  # what was cut off is measured again
        for key, rows_again in list(by_cell().items())[finished - 1 :]:
            log.cell(key, rows_again, weight_s=2.0, warning=f"about {key}")
    assert (directory / LOG).read_bytes() == whole


def test_control_a_run_that_continued_behind_the_cut_would_be_refused(tmp_path: Path) -> None:
    sizes = logged(tmp_path)
    text = (tmp_path / LOG).read_bytes()
    (tmp_path / LOG).write_bytes(text[: sizes[3] + 5] + text[sizes[3] :])
    with pytest.raises(TableError, match=rf"{LOG}:5: is not as it was written; remove the line"):
        read_log(tmp_path)


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_a_changed_byte_is_never_a_changed_value(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    directory = tmp_path_factory.mktemp("byte")
    logged(directory)
    raw = bytearray((directory / LOG).read_bytes())
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    (directory / LOG).write_bytes(raw)
    rows = {row for rows in by_cell().values() for row in rows}
    found = None
    try:
        found = read_log(directory)
    except TableError as error:
        said = str(error)
    else:
        said = str(directory / LOG)
    assert str(directory / LOG) in said
    if found is not None:  # the last cell was left out
        assert {*found.profile.link, *found.profile.compute} < rows


def test_a_hand_that_knows_the_check_sum_still_meets_the_checks(tmp_path: Path) -> None:
    with Log.begin(tmp_path, head(), PLANNED) as log:
        row = profile(batches=(1,)).compute[0]
        log._append({"key": "k", "rows": {"compute": [dataclasses.asdict(row) | {"batch": 0}]}})
        log.cell("next")
    with pytest.raises(TableError, match=rf"{LOG}:2: batch=0, allowed is more than 0; remove the"):
        read_log(tmp_path)


@pytest.mark.parametrize(
    "entry", [{"log": 2}, {"log": 1}, {"log": 1, "head": 3}, {"key": "k"}, {"log": 1, "head": {}}]
)
def test_a_log_of_another_kind_is_refused(tmp_path: Path, entry: dict[str, object]) -> None:
    with Log.begin(tmp_path, head(), PLANNED) as log:
        os.truncate(tmp_path / LOG, 0)
        log._append(entry)
        log.cell("k")
    with pytest.raises(TableError, match="remove the file to begin again"):
        read_log(tmp_path)


def test_two_runs_do_not_write_one_log(tmp_path: Path) -> None:
    with Log.begin(tmp_path, head(), PLANNED) as log:
        log.cell("kept")
        with pytest.raises(TableError, match="another `prism-edge profile` is writing it"):
            Log.begin(tmp_path, head(), PLANNED)
    found = read_log(tmp_path)
    assert found is not None
    assert found.keys == {"kept"}


def test_a_log_that_another_run_wrote_meanwhile_is_left_as_it_is(tmp_path: Path) -> None:
    with Log.begin(tmp_path, head(), PLANNED) as log:
        log.cell("one")
    found = read_log(tmp_path)
    assert found is not None
    with Log.proceed(tmp_path, found) as log:
        log.cell("two")
    with pytest.raises(TableError, match="has written it meanwhile"):
        Log.proceed(tmp_path, found)
    with pytest.raises(TableError, match="has written it meanwhile"):
        Log.begin(tmp_path, head(), PLANNED)
    after = read_log(tmp_path)
    assert after is not None
    assert after.keys == {"one", "two"}


def test_a_full_disk_is_said(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Log.begin(tmp_path, head(), PLANNED) as log:
        log.cell("kept")
        full = (tmp_path / LOG).stat().st_size + 20
        resource.setrlimit(resource.RLIMIT_FSIZE, (full, before[1]))
        try:
            with pytest.raises(TableError, match=rf"{LOG}: cannot be written"):
                log.cell("lost")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    found = read_log(tmp_path)
    assert found is not None
    assert (found.keys, found.torn) == ({"kept"}, False)


def test_later_notes_are_what_the_profile_says(tmp_path: Path) -> None:
    with Log.begin(tmp_path, head(), PLANNED) as log:
        log.cell("one")
        log.note(conditions={"resumed": "1"}, warnings=["the clock went back"])
    found = read_log(tmp_path)
    assert found is not None
    assert found.profile.conditions["resumed"] == "1"
    assert found.profile.conditions["command"].startswith("prism-edge")
    assert found.profile.warnings == ("made of arithmetic", "the clock went back")


# ------------------------------------------------------------------ what a directory's profile is


def cells_until(count: int) -> Callable[[Path], None]:
    def make(directory: Path) -> None:
        with Log.begin(directory, head(), PLANNED) as log:
            for key, rows in list(by_cell().items())[:count]:
                log.cell(key, rows)

    return make


def another(created: str = "2024-01-01T00:00:00+00:00") -> Profile:
    return dataclasses.replace(profile(batches=(1,), speeds=(2.0, 2.0)), created=created)


def test_an_unfinished_profile_is_what_was_finished_and_says_what_is_missing(
    tmp_path: Path,
) -> None:
    cells_until(9)(tmp_path)
    found = tables.read(tmp_path)
    assert found.link == profile(batches=(1,)).link
    assert {cell(row) for row in found.compute} < {
        cell(row) for row in profile(batches=(1,)).compute
    }
    assert found.warnings[1] == (
        "not finished: 3 of 16 compute cells, 1 of 1 links, 0 of 2 kinds of request; "
        "`prism-edge profile --cluster c.toml --resume` measures the rest"
    )
    assert "was not measured on board edge-2" in found.warnings[2]
    assert tables.applies(found, "net", "f00d", ["edge-1", "edge-2"]) is None


def test_a_cut_line_is_said(tmp_path: Path) -> None:
    cells_until(3)(tmp_path)
    with (tmp_path / LOG).open("ab") as file:
        file.write(b'{"key": "comp')
    assert any("the last line was cut off" in text for text in tables.read(tmp_path).warnings)


def test_a_log_without_a_cell_is_no_profile(tmp_path: Path) -> None:
    cells_until(0)(tmp_path)
    with pytest.raises(TableError, match=r"profile\.toml: no such file"):
        tables.read(tmp_path)
    tables.write(tmp_path, another())
    assert tables.read(tmp_path) == another()


def same_run(directory: Path) -> None:
    """Tables written when the run was interrupted, and the log it left."""
    log = read_log(directory)
    assert log is not None
    tables.write(directory, log.profile)


def damaged(directory: Path) -> None:
    tables.write(directory, another())
    (directory / "compute.csv").write_text("board")


def half_replaced(directory: Path) -> None:
    tables.write(directory / "new", profile(batches=(1,)))
    tables.write(directory, another())
    (directory / "new" / "compute.csv").replace(directory / "compute.csv")


def partial(directory: Path) -> None:
    tables.write(directory, dataclasses.replace(another(), warnings=("not finished: time was up",)))


@pytest.mark.parametrize("beside", [same_run, damaged, half_replaced, partial])
def test_a_log_takes_the_place_of_tables_that_are_less(
    tmp_path: Path, beside: Callable[[Path], None]
) -> None:
    cells_until(9)(tmp_path)
    alone = tables.read(tmp_path)
    beside(tmp_path)
    assert tables.read(tmp_path) == alone


def test_whole_tables_of_another_run_stay_in_force(tmp_path: Path) -> None:
    tables.write(tmp_path, another())
    cells_until(9)(tmp_path)
    found = tables.read(tmp_path)
    assert dataclasses.replace(found, warnings=another().warnings) == another()
    assert found.warnings[-1].startswith(
        f"{tmp_path / LOG}: a later run is not finished: 3 of 16 compute cells"
    )
    assert "--resume" in found.warnings[-1]


def test_a_run_that_lacks_nothing_replaces_them(tmp_path: Path) -> None:
    tables.write(tmp_path, another())
    cells_until(100)(tmp_path)
    log = read_log(tmp_path)
    assert log is not None
    with Log.proceed(tmp_path, log) as writer:
        writer.cell(SWEPT)
    found = tables.read(tmp_path)
    assert set(found.compute) == set(profile(batches=(1,)).compute)
    assert "was cut off before its end" in found.warnings[-1]
    assert not any(text.startswith("not finished") for text in found.warnings)


def test_a_broken_log_does_not_take_whole_tables_away(tmp_path: Path) -> None:
    cells_until(9)(tmp_path)
    text = (tmp_path / LOG).read_text()
    (tmp_path / LOG).write_text(text.replace('"latency_s": ', '"latency_s": 1', 1))
    with pytest.raises(TableError, match=rf"{LOG}:2: is not as it was written"):
        tables.read(tmp_path)
    tables.write(tmp_path, another())
    assert any(LOG in text for text in tables.read(tmp_path).warnings)


def test_a_cell_more_is_another_digest(tmp_path: Path) -> None:
    def digests() -> Iterator[str]:
        for count in (1, 2, 3):
            cells_until(count)(tmp_path)
            yield digest(tmp_path)
            (tmp_path / LOG).unlink()

    assert len(set(digests())) == 3
