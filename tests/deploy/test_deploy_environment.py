"""A bundle of the real packages makes an environment in which prism-edge runs, without an index."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest
import transformers  # noqa: F401  where it is not installed, these tests are left out
from board_python import BoardPython
from installed_wheels import closure, wheel_of
from little_index import only, requirements_in, write

import prism_edge
from prism_edge.deploy.make_bundle import make_bundle
from prism_edge.deploy.repack import repack
from prism_edge.deploy.target import Target

TORCH = "2.9.0a0+50eac811a6.nv25.9"  # new enough for any transformers
STAND_IN = f"__version__ = {TORCH!r}\n".encode()
EVERYTHING = "import fastapi, httpx, numpy, pandas, paramiko, PIL, tokenizers, uvicorn"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_bundle_is_all_that_a_board_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wheels are those of the packages installed here; the board has a stand-in for torch."""
    packages = tmp_path / "packages"
    packages.mkdir()
    own = requirements_in(repack(tmp_path))
    for found in closure(own, without={"torch"}).values():
        wheel_of(found, packages)
    only(monkeypatch, packages)
    target = Target(
        python=f"3.{sys.version_info[1]}", machine=platform.machine(), pins={"torch": TORCH}
    )
    bundle = make_bundle(target, tmp_path / "bundle")
    assert not any(map(bundle.problem, bundle.wheels))
    assert "torch" not in {wheel.name for wheel in bundle.wheels.values()}

    board = BoardPython(tmp_path / "board")
    board.own(write(tmp_path, "torch", TORCH, files={"torch/__init__.py": STAND_IN}))
    before = board.digests()
    done = board.install(bundle)
    assert done.returncode == 0, done.stdout
    done = board.pip("install", "--no-index", "--no-deps", bundle.local(bundle.own).path)
    assert done.returncode == 0, done.stdout
    assert board.pip("check").stdout.strip() == "No broken requirements found."
    assert board.digests() == before

    said = subprocess.run(
        [str(board.root / "bin/prism-edge"), "--version"],
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert said.stdout.strip() == prism_edge.__version__, said.stderr
    code = f"{EVERYTHING}; import prism_edge.serve.daemon as daemon; print(daemon.__file__)"
    assert Path(board.says(code)).is_relative_to(board.site)
    code = "from prism_edge.deploy.sources import source; print(source('cluster.example.toml'))"
    assert Path(board.says(code)).is_relative_to(board.site / "prism_edge/deploy/files")
