"""``prism-edge profile diff`` from the command line, on profiles made of arithmetic."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from measured import profile

from prism_edge import tables
from prism_edge.cli import main

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """(exit code, stdout, stderr) of ``prism-edge profile``."""

    def go(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["prism-edge", "profile", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            main()
        out = capsys.readouterr()
        return int(caught.value.code or 0), out.out, out.err

    return go


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    made = profile()
    tables.write(tmp_path / "a", made)
    tables.write(tmp_path / "b", dataclasses.replace(made, link_description="20mbit"))
    return tmp_path / "a", tmp_path / "b"


def visited() -> tables.Profile:
    """The profile with its cells visited in rounds, one repeat each."""
    made = profile()
    return dataclasses.replace(
        made,
        compute=tuple(sorted(made.compute, key=lambda row: row.repeat)),
        link=tuple(sorted(made.link, key=lambda row: row.repeat)),
    )


def test_facts_that_differ_come_first(run: Run, two: tuple[Path, Path]) -> None:
    code, out, _ = run("diff", *two)
    assert code == 0
    assert out.splitlines()[0] == "cluster, link: 100mbit -> 20mbit"
    said = json.loads(run("diff", *two, "--json")[1])
    assert said["facts"] == [{"where": "cluster", "key": "link", "a": "100mbit", "b": "20mbit"}]


def test_the_same_tables_have_not_changed(run: Run, two: tuple[Path, Path]) -> None:
    code, out, _ = run("diff", two[0], two[0])
    assert code == 0
    assert out.startswith("the same facts")
    assert "100.0 % without a significant change" in out
    said = json.loads(run("diff", two[0], two[0], "--json")[1])
    assert (said["significant"], said["unchanged_share"]) == (0, 1.0)
    assert said["compared"] == len(said["changes"]) > 0
    assert {change["ratio"] for change in said["changes"]} == {1.0}


def test_a_slower_link_shows_up_and_nothing_else(run: Run, tmp_path: Path) -> None:
    made = visited()
    slower = tuple(
        dataclasses.replace(row, latency_s=1.3 * row.latency_s) if row.op == "exchange" else row
        for row in made.link
    )
    tables.write(tmp_path / "a", made)
    tables.write(tmp_path / "b", dataclasses.replace(made, link=slower))
    code, out, _ = run("diff", tmp_path / "a", tmp_path / "b")
    assert code == 0
    assert out.count("> link: ") == 3
    assert "> compute" not in out
    said = json.loads(run("diff", tmp_path / "a", tmp_path / "b", "--json")[1])
    changed = {(row["table"], row["op"]) for row in said["changes"] if row["significant"]}
    assert changed == {("link", "exchange")}
    (link,) = [group for group in said["groups"] if group["place"].startswith("link")]
    assert (link["cells"], link["significant"]) == (6, 3)
    compute = next(group for group in said["groups"] if group["place"] == "compute edge-1")
    assert (compute["significant"], compute["ratio"], compute["moved"]) == (0, 1.0, False)
    listed = run("diff", tmp_path / "a", tmp_path / "b", "--all")[1]
    assert listed.count("  compute: ") == 2 * compute["cells"]


def test_cells_of_one_profile_only_are_counted(run: Run, tmp_path: Path) -> None:
    tables.write(tmp_path / "a", profile(batches=(1, 2)))
    tables.write(tmp_path / "b", profile(batches=(1, 4)))
    out = run("diff", tmp_path / "a", tmp_path / "b")[1]
    assert "only in the first: " in out
    assert "only in the second: " in out
    bare = dataclasses.replace(profile(), compute=(), link=())
    tables.write(tmp_path / "none", bare)
    code, out, _ = run("diff", tmp_path / "a", tmp_path / "none")
    assert code == 0
    assert "nothing to compare" in out


def test_tables_that_are_not_there_are_an_error(run: Run, two: tuple[Path, Path]) -> None:
    code, out, err = run("diff", two[0], two[0] / "none")
    assert (code, out) == (1, "")
    assert "no such file" in err


def test_measuring_is_still_the_command_itself(run: Run) -> None:
    code, out, err = run()
    assert (code, out) == (2, "")
    assert "--cluster is needed" in err
