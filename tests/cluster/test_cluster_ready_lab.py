"""Before anything is started on a board, all it needs has been seen there."""

from __future__ import annotations

import json
import sys
import venv
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from site import getsitepackages

import pytest
from sshd import PORT, SshBoards, new_key, ssh_boards

import prism_edge
from prism_edge import __version__
from prism_edge.cluster.lab import Lab
from prism_edge.cluster.modes import obstacle
from prism_edge.cluster.ready import ready
from prism_edge.errors import ClusterError, UnreachableError
from prism_edge.settings import BoardSettings, ModelSettings

pytestmark = [pytest.mark.lab, pytest.mark.ssh]
NOWHERE = "/no/such/python"


@pytest.fixture(scope="module")
def boards(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshBoards]:
    refused = obstacle("root")
    if refused is not None:
        pytest.skip(refused)
    lab = Lab.up("t", 1, 100e6, mode="root", root=tmp_path_factory.mktemp("labs"))
    try:
        with ssh_boards(lab, tmp_path_factory.mktemp("ssh")) as found:
            yield found
    finally:
        lab.down()


@pytest.fixture
def board(boards: SshBoards) -> BoardSettings:
    return boards.boards()[0]


def model(path: Path) -> ModelSettings:
    return ModelSettings(name="vit", path=path)


def problem(board: BoardSettings, *models: Path) -> str:
    with pytest.raises(ClusterError) as caught:
        ready(board, [model(path) for path in models], deployed=NOWHERE)
    message = str(caught.value)
    assert message.startswith(f"board edge-1 ({board.ssh}): ")
    return message


def script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_what_was_found_is_a_host(board: BoardSettings, tmp_path: Path) -> None:
    host = ready(board, [model(tmp_path)], deployed=NOWHERE)
    assert (host.name, host.address, host.target) == ("edge-1", board.address, board.ssh)
    assert Path(host.python).samefile(sys.executable)
    assert host.run(["echo", "here"], 60).stdout == "here\n"


def test_a_deployed_python_comes_before_the_configured_one(board: BoardSettings) -> None:
    never = replace(board, python=NOWHERE)
    assert Path(ready(never, [], deployed=sys.executable).python).samefile(sys.executable)


def test_an_unknown_host_key_is_refused_and_shown(boards: SshBoards, board: BoardSettings) -> None:
    """Though the user's configuration would accept it."""
    known = boards.directory / "known_hosts"
    before = known.read_text()
    known.write_text("")
    try:
        message = problem(board)
        assert known.read_text() == ""
    finally:
        known.write_text(before)
    assert "its host key is not known here, SHA256:" in message
    assert f"ssh -F {board.ssh_config} -p {PORT} root@{board.address}" in message


def test_a_changed_host_key_is_refused(
    boards: SshBoards, board: BoardSettings, tmp_path: Path
) -> None:
    known = boards.directory / "known_hosts"
    before = known.read_text()
    known.write_text(f"[{board.address}]:{PORT} {new_key(tmp_path / 'other')}\n")
    try:
        message = problem(board)
    finally:
        known.write_text(before)
    assert "another one than before, SHA256:" in message
    assert "ssh-keygen -f" in message


def test_a_wrong_user_is_told_what_to_look_at(boards: SshBoards, board: BoardSettings) -> None:
    wrong = replace(board, ssh=f"nosuchuser@{board.address}:{PORT}")
    message = problem(wrong)
    assert "Permission denied" in message
    assert "is the user right" in message


def test_nobody_listening_is_unreachable(board: BoardSettings) -> None:
    with pytest.raises(UnreachableError, match=r"Connection refused; is the board on"):
        ready(replace(board, ssh=f"root@{board.address}:9"), [])


def test_a_board_that_is_down_is_unreachable(boards: SshBoards, board: BoardSettings) -> None:
    boards.lab.set_link("edge-1", up=False)
    try:
        with pytest.raises(UnreachableError, match=r"^board edge-1 .* is the board on"):
            ready(board, [])
    finally:
        boards.lab.set_link("edge-1", up=True)


def test_no_python_is_named(board: BoardSettings) -> None:
    message = problem(replace(board, python=NOWHERE))
    assert f"no {NOWHERE} there; write `python`" in message


def test_a_python_without_prism_edge_is_named(board: BoardSettings, tmp_path: Path) -> None:
    bare = script(tmp_path / "bare", f'cd /; exec {sys.executable} -S "$@"')
    assert "prism-edge is not installed there for" in problem(replace(board, python=bare))


def test_another_version_is_named(board: BoardSettings, tmp_path: Path) -> None:
    said = '{"python": "/x/python", "version": "0.0.1", "absent": [], "models": {}}'
    old = script(tmp_path / "old", f"echo '{said}'")
    message = problem(replace(board, python=old))
    assert f"prism-edge 0.0.1 there (/x/python), {__version__} here" in message


def test_what_is_no_python_is_told(board: BoardSettings, tmp_path: Path) -> None:
    broken = script(tmp_path / "broken", "echo no disk >&2; exit 3")
    assert "ended with code 3: no disk" in problem(replace(board, python=broken))
    silent = script(tmp_path / "silent", "exit 0")
    assert "is `python` of this board in cluster.toml a Python" in problem(
        replace(board, python=silent)
    )


def test_a_model_that_is_not_there_is_named(board: BoardSettings, tmp_path: Path) -> None:
    there, absent = tmp_path, tmp_path / "absent model"
    message = problem(board, there, absent)
    assert f"no directory {absent} there; a model that was not deployed" in message


def test_a_deployed_model_is_where_its_release_says(board: BoardSettings, tmp_path: Path) -> None:
    """Not where it is on the machine that measures; what was not deployed keeps its path."""
    there, other = tmp_path / "models" / "vit-0123", tmp_path / "other"
    for directory in (there, other):
        directory.mkdir(parents=True)
    python = tmp_path / "release" / "venv" / "bin" / "python"
    venv.create(tmp_path / "release" / "venv", with_pip=False, symlinks=True)
    site = next((tmp_path / "release" / "venv" / "lib").glob("python*/site-packages"))
    own = [str(Path(prism_edge.__file__).parents[1]), *getsitepackages()]
    (site / "rest.pth").write_text("\n".join(own))
    manifest = {"models": {"vit": str(there)}}
    (tmp_path / "release" / "release.json").write_text(json.dumps(manifest))
    more = ModelSettings(name="other", path=other)
    host = ready(board, [model(Path("/here/vit")), more], deployed=str(python))
    assert host.paths == {"/here/vit": str(there), str(other): str(other)}
    asked = ["echo", "--model", "vit=/here/vit", "/here/vit", f"other={other}", "x=y"]
    said = host.run(asked, 60).stdout.split()
    assert said == ["--model", f"vit={there}", str(there), f"other={other}", "x=y"]
