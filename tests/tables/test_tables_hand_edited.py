"""What hands and spreadsheet programs do to tables: read as it was, flagged, or refused by line."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from measured import profile

from prism_edge import tables
from prism_edge.errors import TableError
from prism_edge.tables import Profile

FILES = ("profile.toml", "compute.csv", "staging.csv", "link.csv", "request.csv", "accuracy.csv")


def small() -> Profile:
    return profile(batches=(1, 2), segments=(10,))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    tables.write(tmp_path / "lab", small())
    return tmp_path / "lab"


def edit(path: Path, change: Callable[[str], str]) -> None:
    before = path.read_text(encoding="utf-8")
    after = change(before)
    assert before != after, "the edit did nothing"
    path.write_bytes(after.encode())


def cells(number: int, change: Callable[[str], str], column: str) -> Callable[[str], str]:
    """Changes the cell of ``column`` on lines ``number`` and following ones of the same cell."""

    def apply(text: str) -> str:
        lines = text.splitlines()
        row = lines[number - 1].split(",")
        at = lines[0].split(",").index(column)
        row[at] = change(row[at])
        lines[number - 1] = ",".join(row)
        return "\n".join(lines) + "\n"

    return apply


def new_warnings(directory: Path) -> list[str]:
    found = tables.read(directory)
    assert found.warnings[0] == "made of arithmetic"
    return list(found.warnings[1:])


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: "\ufeff" + text,
        lambda text: "\ufeff" + text.replace("\n", "\r\n"),
    ],
    ids=["crlf", "bom", "both"],
)
def test_a_spreadsheets_line_ends_and_mark_change_nothing(
    directory: Path, name: str, change: Callable[[str], str]
) -> None:
    edit(directory / name, change)
    assert tables.read(directory) == small()


def test_a_spreadsheets_way_to_write_the_same_number_changes_nothing(directory: Path) -> None:
    edit(directory / "compute.csv", cells(3, lambda cell: f"{float(cell):.17E}", "latency_s"))
    assert tables.read(directory) == small()


def test_digits_that_a_spreadsheet_dropped_are_noticed(directory: Path) -> None:
    edit(directory / "compute.csv", cells(3, lambda cell: f"{float(cell):.3f}", "latency_s"))
    assert new_warnings(directory) == [
        f"{directory / 'compute.csv'}: not as it was written (edited, or of another run); "
        f"run `prism-edge profile` to measure again"
    ]


@pytest.mark.parametrize("factor", [1000.0, 0.001])
@pytest.mark.parametrize("name", ["compute.csv", "link.csv"])
def test_a_time_in_another_unit_is_flagged_by_file_and_line(
    directory: Path, name: str, factor: float
) -> None:
    edit(directory / name, cells(4, lambda cell: repr(float(cell) * factor), "latency_s"))
    said = new_warnings(directory)
    assert re.match(
        re.escape(f"{directory / name}:4: latency_s=") + r"\S+ is \d+ times (more|less) than",
        said[0],
    )
    assert "another unit?" in said[0]
    assert "not as it was written" in said[1]


@pytest.mark.parametrize(("factor", "edited"), [(20, True), (1000, False)])
def test_control_repeats_that_scatter_are_not_flagged(
    tmp_path: Path, factor: float, edited: bool
) -> None:
    """A shared core is seen to make 3.7 ms of 0.2 ms; what was measured so is left as it is."""
    measured = small()
    rows = tuple(
        dataclasses.replace(row, latency_s=row.latency_s * (factor if row.repeat == 0 else 1))
        for row in measured.link
    )
    tables.write(tmp_path, dataclasses.replace(measured, link=rows))
    if edited:
        edit(tmp_path / "link.csv", cells(3, lambda cell: "1.5", "latency_s"))
    assert not any("another unit" in text for text in new_warnings(tmp_path))


def test_a_board_without_rows_is_named(tmp_path: Path) -> None:
    measured = small()
    tables.write(
        tmp_path,
        dataclasses.replace(
            measured,
            compute=tuple(row for row in measured.compute if row.board != "edge-2"),
            link=(),
        ),
    )
    assert new_warnings(tmp_path) == [
        "compute of model net was not measured on board edge-2: plans that need it cannot be "
        "chosen",
        "no link to edge-1, edge-2 was measured: only plans without it can be chosen",
    ]


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("profile.toml", lambda t: t.replace('fingerprint = "f00d"', 'fingerprint = "beef"')),
        ("profile.toml", lambda t: t.replace('torch = "2.1"', 'torch = "2.9"')),
        ("profile.toml", lambda t: t.replace('kind = "boards"', 'kind = "lab"')),
        ("accuracy.csv", lambda t: t + "net,local,digits,accuracy,0.5,10,,\n"),
    ],
)
def test_an_edit_that_makes_sense_is_still_an_edit(
    directory: Path, name: str, change: Callable[[str], str]
) -> None:
    edit(directory / name, change)
    if name != "profile.toml":
        edit(directory / "profile.toml", lambda t: t.replace("accuracy = 0", "accuracy = 1"))
    assert any(
        f"{directory / name}: not as it was written" in text for text in new_warnings(directory)
    )


def test_tables_of_before_there_were_digests_can_be_read_and_say_so(directory: Path) -> None:
    edit(
        directory / "profile.toml",
        lambda text: re.sub(r"\[digests\]\n(.+\n)+", "", text),
    )
    assert new_warnings(directory) == [
        f"{directory / 'profile.toml'}: has no [digests], so that edits by hand are not noticed"
    ]


def test_two_runs_mixed_are_noticed_even_when_they_have_as_many_rows(
    directory: Path, tmp_path: Path
) -> None:
    other = profile(batches=(1, 2), segments=(10,), speeds=(2.0, 2.0))
    tables.write(tmp_path / "other", other)
    (directory / "compute.csv").write_bytes((tmp_path / "other" / "compute.csv").read_bytes())
    assert any("of another run" in text for text in new_warnings(directory))


def damage(text: str, data: st.DataObject) -> str:
    """One thing that a hand, a program or a disk may do to a text file."""
    lines = text.splitlines(keepends=True)
    at = data.draw(st.integers(0, len(lines) - 1))
    kind = data.draw(st.sampled_from(["drop", "twice", "swap", "digit", "cut", "word", "number"]))
    if kind == "drop":
        del lines[at]
    elif kind == "twice":
        lines.insert(at, lines[at])
    elif kind == "swap":
        other = data.draw(st.integers(0, len(lines) - 1))
        lines[at], lines[other] = lines[other], lines[at]
    elif kind == "cut":
        return text[: data.draw(st.integers(0, len(text)))]
    elif kind == "word":
        words = re.findall(r"\w+", text)
        old, new = data.draw(st.sampled_from(words)), data.draw(st.sampled_from(words))
        lines[at] = lines[at].replace(old, new)
    elif kind == "number":
        new = data.draw(st.sampled_from(["0", "-1", "nan", "inf", "1e9", "", "1,5", "1_0", "0.5"]))
        lines[at] = re.sub(r"\d+(\.\d+)?", new, lines[at], count=1)
    else:
        places = [place for place, letter in enumerate(text) if letter.isdigit()]
        place = data.draw(st.sampled_from(places or [0]))
        return text[:place] + data.draw(st.sampled_from('0123456789.-e,\n"')) + text[place + 1 :]
    return "".join(lines)


def outcome(directory: Path) -> tuple[Profile | None, str]:
    """The profile without what the reader has to say about it, and what that is."""
    try:
        found = tables.read(directory)
    except TableError as error:
        return None, str(error)
    return found, "\n".join(found.warnings)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.sampled_from(FILES), min_size=1, max_size=3), st.data())
def test_damage_is_refused_or_flagged_or_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], data: st.DataObject
) -> None:
    directory = tmp_path_factory.mktemp("damaged")
    tables.write(directory, small())
    for name in names:
        text = (directory / name).read_bytes().decode()
        if text:
            (directory / name).write_bytes(damage(text, data).encode())
    found, said = outcome(directory)
    if found != small():
        assert str(directory) in said


def test_control_the_law_would_see_a_value_that_changed_silently(directory: Path) -> None:
    """The same edit, blessed by writing it: nothing is said, and the value is another."""
    edit(directory / "compute.csv", cells(3, lambda cell: "0.5", "latency_s"))
    assert str(directory) in outcome(directory)[1]
    measured = tables.read(directory)
    tables.write(directory, dataclasses.replace(measured, warnings=small().warnings))
    found, said = outcome(directory)
    assert found != small()
    assert str(directory) not in said
