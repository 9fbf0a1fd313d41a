"""A board's own torch, of a version that is a pre-release to pip, is byte for byte what it was."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from little_index import fill, only, write

from boards.desk import Desk
from boards.machine import Board
from boards.rootfs import PASSWORD, USER
from prism_edge.deploy import paths
from prism_edge.deploy.apply import apply
from prism_edge.deploy.bundle import Bundle
from prism_edge.deploy.gather import gather, torch_digest
from prism_edge.deploy.hosts import connect
from prism_edge.deploy.make_bundle import make_bundle
from prism_edge.deploy.runner import Runner
from prism_edge.deploy.step import MakeEnvironment, SendWheels
from prism_edge.deploy.target import Target
from prism_edge.deploy.wish import environment_id
from prism_edge.errors import ClusterError

pytestmark = [pytest.mark.boards, pytest.mark.timeout(300)]
TORCH, NUMPY = "2.5.0a0+872d972e41.nv24.8", "1.26.4"
SYSTEM = "/usr/local/lib/python3.11/dist-packages"  # where Debian's pip installs for everybody


@pytest.fixture
def board(desk: Desk, tmp_path: Path) -> Iterator[Board]:
    """It has stand-ins for NVIDIA's torch and its numpy, as the system's pip would lay them."""
    board = desk.boards[0]
    here = board.root / SYSTEM.removeprefix("/")
    shutil.copytree(here, tmp_path / "before")
    library = bytes(range(256)) * 400
    for name, version in (("torch", TORCH), ("numpy", NUMPY)):
        module = f"__version__ = {version!r}\n".encode()
        files = {f"{name}/__init__.py": module, f"{name}/lib/lib{name}.so": library}
        with zipfile.ZipFile(write(tmp_path, name, version, files=files)) as wheel:
            wheel.extractall(here)
    yield board
    board.sh(f"rm -rf {paths.ROOT} {SYSTEM}")
    shutil.copytree(tmp_path / "before", here)


@pytest.fixture
def runner(board: Board) -> Iterator[Runner]:
    with connect(board.settings(USER), password=lambda: PASSWORD) as runner:
        yield runner


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Newer torch and numpy are in it, too."""
    directory = tmp_path / "index"
    fill(directory, tmp_path / "own", pandas=("numpy>=1.22",), safetensors=("torch>=2.1",))
    only(monkeypatch, directory)
    return directory


def environment(bundle: Bundle) -> MakeEnvironment:
    return MakeEnvironment(
        why="test",
        id=environment_id("3.11", "x86_64", bundle.third_party, bundle.pins, True),
        python="/usr/bin/python3",
        wheels=bundle.third_party,
        own_torch=True,
        pins=bundle.pins,
    )


def made_for(pins: dict[str, str], out: Path) -> Bundle:
    return make_bundle(Target(python="3.11", machine="x86_64", pins=pins), out)


def send(bundle: Bundle, runner: Runner) -> None:
    wheels = {file: bundle.local(file) for file in bundle.third_party}
    apply(SendWheels(why="test", wheels=wheels), runner)


def test_an_environment_sees_it_and_does_not_touch_it(
    runner: Runner, index: Path, tmp_path: Path
) -> None:
    facts = gather(runner)
    pins = dict(facts.torch.pins)
    assert pins == {"torch": TORCH, "numpy": NUMPY}
    bundle = made_for(pins, tmp_path / "bundle")
    assert not {"torch", "numpy"} & {wheel.name for wheel in bundle.wheels.values()}
    before = torch_digest(runner)
    assert before is not None
    listing = f"cd {SYSTEM} && find . -type f ! -name '*.pyc' | sort | xargs sha256sum"
    files = runner.run(listing, root=True).out
    send(bundle, runner)
    step = environment(bundle)
    apply(step, runner)
    assert torch_digest(runner) == before
    assert runner.run(listing, root=True).out == files
    python = f"{paths.ENVIRONMENTS}/{step.id}/bin/python"
    said = runner.run(f"{python} -c 'import torch; print(torch.__version__, torch.__file__)'").out
    assert said == f"{TORCH} {SYSTEM}/torch/__init__.py\n"


def test_a_bundle_for_another_torch_is_not_installed(
    runner: Runner, index: Path, tmp_path: Path
) -> None:
    """Control: one of its packages asks for a torch that the board does not have."""
    write(index, "safetensors", "99", ["torch>=2.5"])
    bundle = made_for({"torch": "2.9.0", "numpy": NUMPY}, tmp_path / "bundle")
    send(bundle, runner)
    digest = torch_digest(runner)
    with pytest.raises(ClusterError, match="pip does not install the bundle"):
        apply(environment(bundle), runner)
    assert torch_digest(runner) == digest
    assert runner.run(f"ls -A {paths.ENVIRONMENTS}", root=True).out == ""
