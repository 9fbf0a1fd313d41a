"""``prism-edge deploy``: what it refuses before it goes anywhere, and what it says of a board that
is not there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from prism_edge import __version__
from prism_edge.cli.deploy_live import shown
from prism_edge.cli.deploy_reach import PASSWORD, chosen, sudo_password
from prism_edge.cli.deploy_table import as_dict, show
from prism_edge.deploy.bundle import Bundle, Wheel, write_bundle
from prism_edge.deploy.part import Outcome, exit_code
from prism_edge.deploy.step import Activate, MakeUser
from prism_edge.errors import SettingsError
from prism_edge.settings import BoardSettings, Settings

CLUSTER = """
[cluster]
name = "home"
kind = "{kind}"
[[boards]]
name = "edge-1"
address = "127.0.0.1"
ssh = "nobody@127.0.0.1:1"
[[boards]]
name = "edge-2"
address = "127.0.0.2"
ssh = "nobody@127.0.0.2:1"
[[models]]
name = "vit"
path = "vit"
"""


@pytest.fixture
def cluster(tmp_path: Path) -> Path:
    (tmp_path / "vit").mkdir()
    (tmp_path / "vit" / "config.json").write_text("{}")
    file = "prism_edge-0-py3-none-any.whl"
    wheel = Wheel(sha256="0", bytes=1, unpacked_bytes=1, name="prism-edge", version=__version__)
    (tmp_path / "bundle").mkdir()
    write_bundle(
        Bundle(
            directory=tmp_path / "bundle",
            python="3.10",
            machine="aarch64",
            pins={},
            wheels={file: wheel},
            own=file,
        ),
        tmp_path / "bundle",
    )
    path = tmp_path / "cluster.toml"
    path.write_text(CLUSTER.format(kind="boards"))
    return path


def deploy(cluster: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return verb(cluster, "push", "--bundle", str(cluster.parent / "bundle"), *options)


def verb(cluster: Path, name: str, *options: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "prism_edge", "deploy", name, "--cluster", str(cluster)]
    argv += options
    environment = {**os.environ, "XDG_STATE_HOME": str(cluster.parent / "state")}
    return subprocess.run(
        argv, capture_output=True, text=True, timeout=60, check=False, env=environment
    )


def test_a_board_that_is_not_there_is_named_and_the_code_is_1(cluster: Path) -> None:
    done = deploy(cluster, "--json")
    said: dict[str, Any] = json.loads(done.stdout)
    assert (done.returncode, said["code"], said["cluster"]) == (1, 1, "home")
    assert list(said["boards"]) == ["edge-1", "edge-2"]
    for board in said["boards"].values():
        assert (board["state"], board["ok"], board["changed"]) == ("failed", False, 0)
        assert "Connection refused" in board["error"] or "cannot be reached" in board["error"]
    assert "Traceback" not in done.stderr


def test_status_has_a_line_per_board_and_the_reasons_below(cluster: Path) -> None:
    done = verb(cluster, "status")
    head, one, two, *reasons = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (1, "")
    assert head.split() == ["board", "release", "service", "since", "in", "group", "before"]
    for name, line, reason in zip(("edge-1", "edge-2"), (one, two), reasons, strict=True):
        assert line.split() == [name, "-", "not", "known", "-", "-", "-"]
        assert reason.startswith(f"board {name}")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--limit", "edge-9"], "no board is called 'edge-9'"),
        (["--limit", ","], "--limit ',': expected names"),
        (["--canary", "edge-2", "--limit", "edge-1"], "--canary edge-2: not among"),
        (["--json", "--diff"], "--diff is for people"),
    ],
)
def test_misuse_is_refused_at_once(cluster: Path, options: list[str], words: str) -> None:
    done = deploy(cluster, *options)
    assert done.returncode == 2
    assert words in done.stderr


def test_a_lab_is_not_deployed_to(cluster: Path) -> None:
    cluster.write_text(CLUSTER.format(kind="lab"))
    done = deploy(cluster)
    assert done.returncode == 2
    assert 'deploy is for kind = "boards"' in done.stderr


def test_a_password_is_taken_from_the_environment_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PASSWORD, "hush")
    given = sudo_password(ask=True)
    assert given is not None
    assert given() == "hush"
    assert PASSWORD not in os.environ
    assert sudo_password(ask=False) is None


def test_boards_are_chosen_by_name() -> None:
    boards = tuple(BoardSettings(name=f"edge-{n}", address=f"10.0.0.{n}") for n in (1, 2, 3))
    settings = Settings(name="home", leader="edge-1", profiles=Path("x"), boards=boards)
    assert chosen(settings, "") == boards
    assert [board.name for board in chosen(settings, "edge-3, edge-1")] == ["edge-3", "edge-1"]
    with pytest.raises(SettingsError, match="no board is called"):
        chosen(settings, "edge-4")


DONE = Outcome(
    board="edge-1",
    state="changed",
    old="0.1.0-a",
    new="0.1.0-b",
    steps=(MakeUser(why="none"), Activate(why="new", id="0.1.0-b", old="0.1.0-a")),
    seconds=1.23456,
)
WOULD = Outcome(board="edge-2", state="would change", new="0.1.0-b", steps=(MakeUser(why="none"),))
LOST = Outcome(board="edge-3", state="failed", error="board edge-3: no route\nsecond line")


def test_json_has_every_step_with_its_reason() -> None:
    said = as_dict("home", (DONE, LOST), 1)
    boards: Any = said["boards"]
    assert json.loads(json.dumps(said)) == said
    assert boards["edge-1"]["steps"][1] == {
        "step": "Activate",
        "what": "serve release 0.1.0-b",
        "why": "new",
    }
    assert boards["edge-1"]["changed"] == 2
    assert boards["edge-3"]["error"].startswith("board edge-3")


def test_people_see_a_line_per_board_and_errors_beside(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show((DONE, WOULD, LOST), Path("/state/transcripts"))
    said = capsys.readouterr()
    assert "board edge-2\n  make the user prism-edge: none\n" in said.out
    assert "edge-1  changed       0.1.0-a  0.1.0-b  2      1.2" in said.out
    assert "error: board edge-3: no route\nerror: board edge-3: second line\n" in said.err
    assert "/state/transcripts" in said.err


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [((DONE,), 0), ((DONE, WOULD), 2), ((DONE, WOULD, LOST), 1), ((), 0)],
)
def test_one_code_for_all(outcomes: tuple[Outcome, ...], code: int) -> None:
    assert exit_code(outcomes) == code


def test_without_a_terminal_progress_is_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with shown(["edge-1"]) as tell:
        tell("edge-1", "sending wheels: 1 of 3 MB")
        tell("edge-1", "sending wheels: 2 of 3 MB")
        tell("edge-1", "installing")
        tell("", "stopping")
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["edge-1: sending wheels: 1 of 3 MB", "edge-1: installing", "stopping"]


def test_a_password_that_cannot_be_asked_for_is_said(cluster: Path) -> None:
    """The verb has a session of its own, without a terminal."""
    argv = [sys.executable, "-m", "prism_edge", "deploy", "status", "--ask-sudo"]
    argv += ["--cluster", str(cluster)]
    done = subprocess.run(
        argv, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL,
        start_new_session=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert f"there is no terminal to ask on; set {PASSWORD} instead" in done.stderr
