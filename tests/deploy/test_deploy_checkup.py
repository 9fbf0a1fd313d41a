"""Boards are checked together: this machine twice, and boards that do not answer."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
from a_board import CLUSTER

from prism_edge.deploy import checkup
from prism_edge.deploy.findings.finding import Finding
from prism_edge.deploy.here import Here
from prism_edge.deploy.runner import Done, Runner
from prism_edge.errors import UnreachableError
from prism_edge.mesh import MeshSettings
from prism_edge.settings import BoardSettings, Settings

# The one below an environment, which has no torch to import: quick.
PYTHON = str(Path(sys.base_prefix, "bin", "python3"))
TWO = replace(
    CLUSTER,
    boards=(
        BoardSettings(name="edge-1", address="127.0.0.1", power="none", python=PYTHON),
        BoardSettings(name="edge-2", address="127.0.0.2", power="none", python=PYTHON),
    ),
    mesh=MeshSettings(),
)


def here(board: BoardSettings) -> AbstractContextManager[Runner]:
    return nullcontext(Here(name=board.name))


def codes(found: tuple[Finding, ...]) -> set[str]:
    return {item.code for item in found}


def test_two_boards_that_are_this_machine() -> None:
    checked, between = checkup.check_all(TWO, TWO.boards, here)
    assert [item.board for item in checked] == ["edge-1", "edge-2"]
    for item in checked:
        assert item.facts is not None
        assert item.facts.identity.architecture
        assert "address-loopback" in codes(item.findings)
        assert item.verdict == "blocked"
        assert item.repairs == ()
    assert codes(between) == {"no-mesh"}, "refused by a port that nobody serves is a way"


def test_a_board_that_does_not_answer_is_a_finding_and_the_other_is_checked() -> None:
    @contextmanager
    def connect(board: BoardSettings) -> Iterator[Runner]:
        if board.name == "edge-2":
            raise UnreachableError("board edge-2: no route to 127.0.0.2:22 after 5 s")
        yield Here(name=board.name)

    checked, between = checkup.check_all(TWO, TWO.boards, connect)
    assert checked[0].facts is not None
    assert checked[1].facts is None
    (found,) = checked[1].findings
    assert (found.code, found.severity) == ("unreachable", "blocked")
    assert found.what == "board edge-2: no route to 127.0.0.2:22 after 5 s"
    assert found.where == "127.0.0.2"
    assert codes(between) == {"no-mesh"}


class Lost(Here):
    """A board that goes away while it is asked."""

    def run(
        self,
        command: str,
        *,
        root: bool = False,
        stdin: bytes | None = None,
        timeout_s: float = 60.0,
    ) -> Done:
        raise UnreachableError(f"board {self.name}: the connection was lost")


def test_a_board_that_goes_away_is_a_finding() -> None:
    settings: Settings = replace(TWO, boards=TWO.boards[:1])
    checked, between = checkup.check_all(
        settings, settings.boards, lambda board: nullcontext(Lost(name=board.name))
    )
    assert [found.what for found in checked[0].findings] == [
        "board edge-1: the connection was lost"
    ]
    assert between == ()


class WithPrograms(Here):
    """This machine, with other programs first on the PATH: those in the directory of its name."""

    def run(
        self,
        command: str,
        *,
        root: bool = False,
        stdin: bytes | None = None,
        timeout_s: float = 60.0,
    ) -> Done:
        line = f"PATH={shlex.quote(self.name)}:$PATH\n{command}"
        return super().run(line, root=root, stdin=stdin, timeout_s=timeout_s)


PROGRAMS = {
    "systemctl": 'case "$1" in is-active) shift; for s; do cat "{0}/state"; done ;; esac',
    "timedatectl": """\
case "$*" in
set-ntp*) echo active >"{0}/state"; touch "{0}/kept" ;;
show) [ -e "{0}/kept" ] && echo NTPSynchronized=yes || echo NTPSynchronized=no ;;
esac""",
    "chronyc": "exit 1",
    "python3": "exit 1",  # which spares us the import of torch
}


@pytest.fixture
def free_running(tmp_path: Path) -> Path:
    """Programs of a machine whose clock nobody keeps, until timedatectl is told to."""
    (tmp_path / "state").write_text("inactive\n")
    for name, text in PROGRAMS.items():
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\n{text.format(tmp_path)}\n")
        path.chmod(0o755)
    return tmp_path


@pytest.mark.skipif(os.geteuid() != 0, reason="fixes are made as root")
def test_a_repair_is_told_then_made_and_then_it_is_looked_at_again(free_running: Path) -> None:
    told: list[tuple[str, str, bool]] = []

    def tell(board: str, found: Finding) -> None:
        told.append((board, found.code, (free_running / "kept").exists()))

    runner = WithPrograms(name=str(free_running))
    before = checkup.check(runner)
    assert "clock-free" in codes(before.findings)
    assert before.repairs == ()
    assert not (free_running / "kept").exists(), "a check changes nothing"

    after = checkup.check(runner, repair=tell)
    assert told == [(runner.name, "clock-free", False)]
    (repair,) = after.repairs
    assert (repair.finding.code, repair.error, repair.still_found) == ("clock-free", None, False)
    assert "clock-free" not in codes(after.findings)


@pytest.mark.skipif(os.geteuid() != 0, reason="fixes are made as root")
def test_a_repair_that_fails_is_said_and_what_was_found_stays(free_running: Path) -> None:
    (free_running / "timedatectl").write_text(
        "#!/bin/sh\n"
        '[ "$1" = show ] && echo NTPSynchronized=no && exit\necho NTP not supported >&2; exit 1\n'
    )
    checked = checkup.check(WithPrograms(name=str(free_running)), repair=lambda board, found: None)
    (repair,) = checked.repairs
    assert repair.error is not None
    assert "NTP not supported (exit code 1 of: timedatectl set-ntp true)" in repair.error
    assert repair.still_found
    assert "clock-free" in codes(checked.findings)
