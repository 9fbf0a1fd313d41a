"""The files for boards are found, in a checkout and in a wheel."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from prism_edge.deploy.sources import CHECKOUT, folder, source
from prism_edge.errors import ClusterError

ROOT = Path(__file__).parents[2]


def test_a_checkout_has_them_in_its_deploy_folder() -> None:
    assert folder() == ROOT / "deploy" == CHECKOUT
    assert source("cluster.example.toml").read_text().startswith("# One file per cluster")


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(ClusterError, match=r"deploy/no-such-file is missing; reinstall prism-edge"):
        source("no-such-file")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_wheel_that_pip_builds_has_them_too(tmp_path: Path) -> None:
    pytest.importorskip("hatchling")
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "-w", str(tmp_path), str(ROOT)], check=True, timeout=250)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if name.startswith("prism_edge/deploy/files/")}
        archive.extractall(tmp_path / "site")
    tracked = subprocess.run(
        ["git", "ls-files", "deploy"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert {f"prism_edge/deploy/files/{path.removeprefix('deploy/')}" for path in tracked} <= found
    code = (
        "from prism_edge.deploy.sources import source; print(source('cluster.example.toml').parent)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(done.stdout.strip()) == tmp_path / "site/prism_edge/deploy/files"
