"""Steps made true on a real board: once, twice, with damaged goods, and with no room for them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import prism_edge
from boards import standin
from boards.desk import Desk
from boards.machine import Board
from boards.rootfs import PASSWORD, USER
from prism_edge.deploy import compiled, paths
from prism_edge.deploy.apply import apply
from prism_edge.deploy.content import local
from prism_edge.deploy.gather import torch_digest
from prism_edge.deploy.hosts import connect
from prism_edge.deploy.runner import Runner
from prism_edge.deploy.step import (
    Local,
    MakeEnvironment,
    MakeRelease,
    MakeUser,
    Prune,
    PutFile,
    SendModel,
    SendTables,
    SendWheels,
)
from prism_edge.deploy.wheel_file import write_wheel
from prism_edge.errors import ClusterError

pytestmark = [pytest.mark.boards, pytest.mark.timeout(300)]
PYTHON = "/usr/bin/python3"
NVIDIA = "2.5.0a0+872d972e41.nv24.8"
OWN_TORCH = "/usr/local/lib/python3.11/dist-packages"  # where pip puts what is for all users


@pytest.fixture
def board(desk: Desk) -> Iterator[Board]:
    """Nothing of ours is on it, before and afterwards."""
    standin.clear(desk.boards[0])
    yield desk.boards[0]
    standin.clear(desk.boards[0])
    desk.boards[0].sh("userdel prism-edge", check=False)


@pytest.fixture
def runner(board: Board) -> Iterator[Runner]:
    with connect(board.settings(USER), password=lambda: PASSWORD) as runner:
        yield runner


def on(board: Board, path: str) -> Path:
    """The file as it lies here."""
    return board.root / path.removeprefix("/")


def goods(directory: Path, **sizes: int) -> dict[str, Local]:
    """Files of random bytes."""
    directory.mkdir(exist_ok=True)
    found = {}
    for name, size in sizes.items():
        (directory / name).write_bytes(os.urandom(size))
        found[name] = local(directory / name)
    return found


def wheel(
    directory: Path, name: str, version: str, files: Mapping[str, bytes], *requires: str
) -> Local:
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    lines += [f"Requires-Dist: {one}" for one in requires]
    metadata = {"METADATA": "\n".join([*lines, ""]).encode()}
    return local(write_wheel(directory, name, version, files, metadata))


def test_the_user_is_there_once(board: Board, runner: Runner) -> None:
    step = MakeUser(why="test", groups=("video", "render", "no-such-group"))
    apply(step, runner)
    first = board.sh("getent passwd prism-edge; id -nG prism-edge")
    apply(step, runner)
    assert board.sh("getent passwd prism-edge; id -nG prism-edge") == first
    assert "/var/lib/prism-edge:/usr/sbin/nologin" in first
    assert {"video", "render"} <= set(first.split())
    assert board.sh(f"stat -c %U {paths.STATE}").strip() == "prism-edge"


def test_a_file_has_its_content_mode_and_owner(board: Board, runner: Runner) -> None:
    apply(MakeUser(why="test"), runner)
    step = PutFile(
        why="test",
        path=paths.TOKEN,
        content=b"secret\n",
        mode=0o400,
        owner="prism-edge:prism-edge",
        secret=True,
    )
    for _ in range(2):
        apply(step, runner)
        assert board.sh(f"stat -c '%a %U:%G' {paths.TOKEN}; ls -A {paths.ETC}") == (
            "400 prism-edge:prism-edge\ntoken\n"
        )
    assert on(board, paths.TOKEN).read_bytes() == b"secret\n"


def test_a_file_for_nobody_leaves_the_old_one(board: Board, runner: Runner) -> None:
    standin.write(board, paths.TOKEN, "old\n")
    step = PutFile(why="test", path=paths.TOKEN, content=b"new\n", owner="nobody-here:none")
    with pytest.raises(ClusterError, match="does nobody-here:none exist there"):
        apply(step, runner)
    assert on(board, paths.TOKEN).read_text() == "old\n"


def test_a_unit_is_known_at_once(board: Board, runner: Runner) -> None:
    unit = (
        f"[Service]\nType=oneshot\nExecStart=/bin/true\n[Unit]\nDescription={os.urandom(4).hex()}"
    )
    apply(PutFile(why="test", path=paths.UNIT_FILE, content=unit.encode()), runner)
    assert board.sh(f"systemctl show --property=NeedDaemonReload {paths.UNIT}").strip() == (
        "NeedDaemonReload=no"
    )


def test_only_what_differs_is_sent(board: Board, runner: Runner, tmp_path: Path) -> None:
    wheels = goods(tmp_path, **{"a-1.whl": 1000, "b-1.whl": 3_000_000})
    said: list[str] = []
    apply(SendWheels(why="test", wheels=wheels), runner, said.append)
    assert said[-1] == "sending wheels: 3 of 3 MB"
    seen = board.sh(f"stat -c '%i %n' {paths.WHEELS}/*")
    standin.write(board, f"{paths.WHEELS}/a-1.whl", "damaged")
    said.clear()
    apply(SendWheels(why="test", wheels=wheels), runner, said.append)
    assert said == ["sending wheels: 0 of 0 MB"]
    assert board.sh(f"sha256sum {paths.WHEELS}/*.whl").split()[::2] == [
        wheels["a-1.whl"].sha256,
        wheels["b-1.whl"].sha256,
    ]
    assert board.sh(f"stat -c '%i %n' {paths.WHEELS}/*").splitlines()[1:] == seen.splitlines()[1:]
    assert board.sh(f"ls -A {paths.WHEELS}") == "a-1.whl\nb-1.whl\n"


def test_a_corrupted_wheel_is_refused_before_anything_is_sent(
    board: Board, runner: Runner, tmp_path: Path
) -> None:
    wheels = goods(tmp_path, **{"a-1.whl": 1000, "b-1.whl": 1000})
    (tmp_path / "b-1.whl").write_bytes(b"damaged")
    with pytest.raises(ClusterError, match=r"b-1\.whl is not what was promised"):
        apply(SendWheels(why="test", wheels=wheels), runner)
    assert not on(board, paths.WHEELS).exists()


def test_a_full_disk_stays_as_it_was(board: Board, runner: Runner, tmp_path: Path) -> None:
    """And what served goes on."""
    standin.furnish(board)
    standin.lay(board, "good", standin.GOOD)
    board.sh(f"{paths.ACTIVATE} good")
    board.sh(f"mkdir -p {paths.WHEELS}; mount -t tmpfs -o size=4m none {paths.WHEELS}")
    try:
        wheels = goods(tmp_path, **{"a-1.whl": 2_500_000, "b-1.whl": 2_500_000})
        with pytest.raises(ClusterError, match=r"edge-1.*b-1\.whl.* does not fit|No space left"):
            apply(SendWheels(why="test", wheels=wheels), runner)
        assert board.sh(f"find {paths.WHEELS} -mindepth 1") == ""
        assert standin.serving(board) == "good"
    finally:
        board.sh(f"umount {paths.WHEELS}")


def test_a_model_is_there_whole_or_not_at_all(board: Board, runner: Runner, tmp_path: Path) -> None:
    files = goods(tmp_path, **{"config.json": 10, "model.safetensors": 2000})
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "vocab.txt").write_text("word")
    files["sub/vocab.txt"] = local(tmp_path / "sub" / "vocab.txt")
    step = SendModel(why="test", name="m", digest="0123456789abcdef", files=files)
    target = paths.model("m", "0123456789abcdef")
    (tmp_path / "config.json").write_bytes(b"{}")
    with pytest.raises(ClusterError, match=r"model m: .*config\.json is not what was promised"):
        apply(step, runner)
    assert not on(board, target).exists()
    files["config.json"] = local(tmp_path / "config.json")
    part = f"{paths.MODELS}/.making-m-0123456789ab"  # of a run that was cut off
    standin.write(board, f"{part}/config.json", "half")
    standin.write(board, f"{part}/stale", "")
    apply(step, runner)
    for name, file in files.items():
        assert on(board, f"{target}/{name}").read_bytes() == file.path.read_bytes()
    assert board.sh(f"ls -A {paths.MODELS} {target}; stat -c %a {target}") == (
        f"{paths.MODELS}:\nm-0123456789ab\n\n{target}:\nconfig.json\nmodel.safetensors\nsub\n755\n"
    )


def test_tables_are_these_and_no_others(board: Board, runner: Runner, tmp_path: Path) -> None:
    apply(SendTables(why="test", cluster="c", files=goods(tmp_path, **{"a.csv": 9})), runner)
    files = goods(tmp_path, **{"b.csv": 9, "profile.toml": 9})
    apply(SendTables(why="test", cluster="c", files=files), runner)
    assert board.sh(f"ls -A {paths.PROFILES} {paths.PROFILES}/c").split()[1:] == (
        ["c", f"{paths.PROFILES}/c:", "b.csv", "profile.toml"]
    )


def test_what_serves_is_never_pruned(board: Board, runner: Runner) -> None:
    standin.furnish(board)
    for name in ("old", "good"):
        standin.lay(board, name, standin.GOOD)
    board.sh(f"{paths.ACTIVATE} good")
    apply(Prune(why="test", paths=(paths.release("old"), paths.release("gone"))), runner)
    with pytest.raises(ClusterError, match="current points to it"):
        apply(Prune(why="test", paths=(paths.release("good"),)), runner)
    with pytest.raises(ClusterError, match="/etc/passwd is nothing that a push removes"):
        apply(Prune(why="test", paths=("/etc/passwd",)), runner)
    half = f"{paths.RELEASES}/.making-r.x"
    for path in (paths.TOKEN, f"{half}/file"):
        standin.write(board, path, "left")
    apply(Prune(why="test", paths=(half, paths.TOKEN)), runner)
    assert not on(board, paths.TOKEN).exists()
    assert board.sh(f"ls -A {paths.RELEASES}") == "good\n"


@pytest.fixture
def own_torch(board: Board) -> Iterator[str]:
    """The board has a torch of its own, with a version like NVIDIA's."""
    info = f"{OWN_TORCH}/torch-{NVIDIA}.dist-info"
    standin.write(board, f"{OWN_TORCH}/torch/__init__.py", f"__version__ = {NVIDIA!r}\n")
    standin.write(
        board, f"{info}/METADATA", f"Metadata-Version: 2.1\nName: torch\nVersion: {NVIDIA}\n"
    )
    standin.write(board, f"{info}/RECORD", "torch/__init__.py,,\n")
    yield NVIDIA
    board.sh(f"rm -rf {OWN_TORCH}/torch*")


def environment(wheels: Mapping[str, Local], **fields: object) -> MakeEnvironment:
    hashes = {name: file.sha256 for name, file in wheels.items()}
    return MakeEnvironment(why="test", id="e1", python=PYTHON, wheels=hashes, **fields)  # type: ignore[arg-type]


def test_an_environment_sees_the_boards_torch_and_leaves_it(
    board: Board, runner: Runner, own_torch: str, tmp_path: Path
) -> None:
    """pip alone would take the newer one that lies there."""
    needs = wheel(tmp_path, "needs", "1.0", {"needs.py": b"import torch\n"}, "torch>=2.1")
    trap = wheel(tmp_path, "torch", "2.13.0", {"torch/__init__.py": b"raise ValueError\n"})
    apply(SendWheels(why="test", wheels={f.path.name: f for f in (needs, trap)}), runner)
    before = torch_digest(runner, PYTHON)
    assert before is not None
    step = environment({needs.path.name: needs}, own_torch=True, pins={"torch": own_torch})
    for _ in range(2):
        apply(step, runner)
    python = f"{paths.ENVIRONMENTS}/e1/bin/python"
    shown = board.sh(f"{python} -B -c 'import needs; print(needs.torch.__version__)'")
    assert shown == f"{own_torch}\n"
    assert torch_digest(runner, PYTHON) == before
    assert board.sh(f"ls -A {paths.ENVIRONMENTS}") == "e1\n"


def test_what_would_replace_the_boards_torch_is_not_installed(
    board: Board, runner: Runner, own_torch: str, tmp_path: Path
) -> None:
    needs = wheel(tmp_path, "needs", "1.0", {"needs.py": b""}, "torch>=2.5")
    newer = wheel(tmp_path, "torch", "2.13.0", {"torch/__init__.py": b""})
    wheels = {file.path.name: file for file in (needs, newer)}
    apply(SendWheels(why="test", wheels=wheels), runner)
    before = torch_digest(runner, PYTHON)
    step = environment(wheels, own_torch=True, pins={"torch": own_torch})
    with pytest.raises(ClusterError, match="pip does not install the bundle"):
        apply(step, runner)
    assert board.sh(f"ls -A {paths.ENVIRONMENTS}") == ""
    assert torch_digest(runner, PYTHON) == before


def test_a_torch_that_changes_meanwhile_is_said_and_the_environment_goes(
    board: Board, runner: Runner, own_torch: str, tmp_path: Path
) -> None:
    needs = wheel(tmp_path, "needs", "1.0", {"needs.py": b""}, "torch>=2.1")
    apply(SendWheels(why="test", wheels={needs.path.name: needs}), runner)
    step = environment({needs.path.name: needs}, own_torch=True, pins={"torch": own_torch})

    def meanwhile(text: str) -> None:
        if text.startswith("installing"):
            standin.write(board, f"{OWN_TORCH}/torch/__init__.py", "__version__ = 'other'\n")

    with pytest.raises(ClusterError, match="own torch is not what it was before this push"):
        apply(step, runner, meanwhile)
    assert board.sh(f"ls -A {paths.ENVIRONMENTS}") == ""


def test_a_release_runs_from_its_own_place(board: Board, runner: Runner, tmp_path: Path) -> None:
    ours, theirs = (
        own_wheel(tmp_path),
        wheel(tmp_path, "dep", "1.0", {"dep.py": b"here = 1\n", "unused.py": b""}),
    )
    wheels = {file.path.name: file for file in (ours, theirs)}
    apply(SendWheels(why="test", wheels=wheels), runner)
    apply(environment({theirs.path.name: theirs}, own_torch=False), runner)
    step = release(ours)
    for _ in range(2):
        apply(step, runner)
    target = paths.release("r1")
    assert board.sh(f"{target}/venv/bin/prism-edge --version") == f"{prism_edge.__version__}\n"
    assert json.loads(on(board, f"{target}/release.json").read_text()) == step.manifest
    assert on(board, f"{target}/etc/cluster.toml").read_bytes() == b"[cluster]\n"
    # what a start imports is compiled, here and in the environment, and nothing else
    made = board.sh(f"find {paths.ROOT} -name '*.pyc' -printf '%f '")
    assert "daemon.cpython-311.pyc" in made
    assert "dep.cpython-311.pyc" in made
    assert "unused" not in made
    assert ".making" not in board.sh(f"grep -rl making {target}/venv/bin || :")
    assert board.sh(f"ls -A {paths.RELEASES}") == "r1\n"


def test_a_release_that_does_not_run_is_not_there(
    board: Board, runner: Runner, tmp_path: Path
) -> None:
    theirs = wheel(tmp_path, "dep", "1.0", {"dep.py": b"raise ValueError('no gpu')\n"})
    ours = own_wheel(tmp_path)
    wheels = {file.path.name: file for file in (ours, theirs)}
    apply(SendWheels(why="test", wheels=wheels), runner)
    apply(environment({theirs.path.name: theirs}, own_torch=False), runner)
    with pytest.raises(ClusterError, match=r"release r1 does not start: .*no gpu"):
        apply(release(ours), runner)
    standin.write(board, f"{paths.WHEELS}/{ours.path.name}", "damaged")
    with pytest.raises(ClusterError, match=r"prism_edge-\S+ is damaged on the board"):
        apply(release(ours), runner)
    assert board.sh(f"ls -A {paths.RELEASES}") == ""


def own_wheel(directory: Path) -> Local:
    """A stand-in for ours: it has a command line, and a daemon that imports what it depends on."""
    files = {
        f"prism_edge/{name}.py": b""
        for name in ("__init__", "serve/__init__", "engine/__init__", "deploy/__init__")
    }
    files["prism_edge/cli/__init__.py"] = (
        f"def main():\n    print({prism_edge.__version__!r})\n".encode()
    )
    files["prism_edge/cli/serve.py"] = files["prism_edge/engine/main.py"] = b""
    files["prism_edge/serve/daemon.py"] = b"import dep\n"
    files["prism_edge/deploy/compiled.py"] = Path(compiled.__file__).read_bytes()
    return wheel(directory, "prism_edge", prism_edge.__version__, files)


def release(ours: Local) -> MakeRelease:
    return MakeRelease(
        why="test",
        id="r1",
        environment="e1",
        python=PYTHON,
        wheel=ours.path.name,
        wheel_sha256=ours.sha256,
        etc={"cluster.toml": b"[cluster]\n"},
        manifest={"id": "r1", "version": prism_edge.__version__},
    )
