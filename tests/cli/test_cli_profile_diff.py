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


def test_facts_that_differ_come_first(run: Run, two: tuple[Path, Path]) -> None:
    code, out, _ = run("diff", *two)
    assert code == 0
    assert out.splitlines()[0] == "cluster, link: 100mbit -> 20mbit"
    said = json.loads(run("diff", *two, "--json")[1])
    assert said["facts"] == [{"where": "cluster", "key": "link", "a": "100mbit", "b": "20mbit"}]


def test_tables_that_are_not_there_are_an_error(run: Run, two: tuple[Path, Path]) -> None:
    code, out, err = run("diff", two[0], two[0] / "none")
    assert (code, out) == (1, "")
    assert "no such file" in err


def test_measuring_is_still_the_command_itself(run: Run) -> None:
    code, out, err = run()
    assert (code, out) == (2, "")
    assert "--cluster is needed" in err
