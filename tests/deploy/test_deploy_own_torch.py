"""The board's own torch, a pre-release to pip, is byte for byte the same after an installation."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

import pytest
from board_python import BoardPython
from little_index import fill, only, write

from prism_edge.deploy.bundle import Bundle
from prism_edge.deploy.make_bundle import make_bundle
from prism_edge.deploy.target import Target

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
TORCH, NUMPY = "2.5.0a0+872d972e41.nv24.8", "1.26.4"
PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"
WHICH = "import torch; print(torch.__version__, torch.__file__)"


def module(version: str) -> bytes:
    return f"__version__ = {version!r}\n".encode()


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index with newer torch and numpy, which pip would love to take."""
    directory = tmp_path_factory.mktemp("index")
    made = tmp_path_factory.mktemp("made")
    fill(directory, made, pandas=("numpy>=1.22",), safetensors=("torch>=2.1",))
    write(directory, "torch", "99", files={"torch/__init__.py": module("99")})
    return directory


@pytest.fixture
def board(tmp_path: Path) -> BoardPython:
    """It has a torch of NVIDIA's version, with a library in it, and a numpy."""
    found = BoardPython(tmp_path / "board")
    library = bytes(range(256)) * 400
    torch = {"torch/__init__.py": module(TORCH), "torch/lib/libtorch.so": library}
    for name, version, files in (
        ("torch", TORCH, torch),
        ("numpy", NUMPY, {"numpy/__init__.py": module(NUMPY)}),
    ):
        found.own(write(tmp_path / "made", name, version, files=files))
    return found


@pytest.fixture(scope="module")
def bundle(index: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    target = Target(
        python=PYTHON, machine=platform.machine(), pins={"torch": TORCH, "numpy": NUMPY}
    )
    with pytest.MonkeyPatch.context() as patch:
        only(patch, index)
        return make_bundle(target, tmp_path_factory.mktemp("bundles") / "bundle")


def test_a_bundle_leaves_it_alone(board: BoardPython, bundle: Bundle) -> None:
    assert not {"torch", "numpy"} & {wheel.name for wheel in bundle.wheels.values()}
    before = board.digests()
    assert len(before) > 5
    done = board.install(bundle)
    assert done.returncode == 0, done.stdout
    assert board.digests() == before
    assert board.says(WHICH) == f"{TORCH} {board.system}/torch/__init__.py"
    assert board.pip("check").stdout.strip() == "No broken requirements found."
    assert board.install(bundle).returncode == 0  # and once more
    assert board.digests() == before


def test_without_constraints_a_floor_of_2_5_replaces_it(
    board: BoardPython, index: Path, tmp_path: Path
) -> None:
    """Control: this is what happens to boards whose torch nobody pinned."""
    wanting = write(tmp_path / "made", "wanting", "1", ["torch>=2.5"])
    done = board.pip("install", "--no-index", "--find-links", index, wanting)
    assert done.returncode == 0, done.stdout
    assert board.says(WHICH).startswith("99 ")


def test_with_constraints_the_same_fails_loudly(
    board: BoardPython, index: Path, bundle: Bundle, tmp_path: Path
) -> None:
    before = board.digests()
    board.install(bundle)
    wanting = write(tmp_path / "made", "wanting", "1", ["torch>=2.5"])
    done = board.pip(
        *("install", "--no-index", "--find-links", index, wanting),
        PIP_CONSTRAINT=str(board.root / "constraints.txt"),
    )
    assert done.returncode != 0
    assert "ResolutionImpossible" in done.stdout
    assert board.says(WHICH) == f"{TORCH} {board.system}/torch/__init__.py"
    assert board.digests() == before
