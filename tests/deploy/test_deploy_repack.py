"""prism-edge repacks itself, to the same bytes wherever it runs from."""

from __future__ import annotations

import csv
import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from base64 import urlsafe_b64encode
from pathlib import Path

import pytest
from little_index import requirements_in
from packaging.requirements import Requirement

import prism_edge
from prism_edge.deploy.repack import metadata, repack

ROOT = Path(__file__).parents[2]
REPACK = (
    "import sys; from pathlib import Path; from prism_edge.deploy.repack import repack; "
    "print(repack(Path(sys.argv[1])))"
)


def repacked_by(site: Path, into: Path) -> bytes:
    """The wheel that the package in ``site`` makes of itself, in a process of its own."""
    into.mkdir()
    command = [sys.executable, "-c", REPACK, str(into)]
    environment = os.environ | {"PYTHONPATH": str(site)}
    done = subprocess.run(
        command, cwd=into, env=environment, capture_output=True, text=True, check=True, timeout=110
    )
    return Path(done.stdout.strip()).read_bytes()


def copy_of_the_checkout(into: Path) -> Path:
    """A checkout elsewhere: package, deploy/, pyproject.toml, licence; never imported so far."""
    into.mkdir()
    unwanted = shutil.ignore_patterns("__pycache__")
    for name in ("prism_edge", "deploy"):
        shutil.copytree(ROOT / name, into / name, ignore=unwanted)
    for name in ("pyproject.toml", "LICENSE", "README.md"):
        shutil.copy(ROOT / name, into / name)
    return into


def test_the_same_bytes_again(tmp_path: Path) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    first.mkdir()
    second.mkdir()
    wheels = repack(first), repack(second)
    assert wheels[0].name == f"prism_edge-{prism_edge.__version__}-py3-none-any.whl"
    assert wheels[0].read_bytes() == wheels[1].read_bytes()


def test_it_holds_the_package_the_files_for_boards_and_nothing_compiled(tmp_path: Path) -> None:
    with zipfile.ZipFile(repack(tmp_path)) as archive:
        names = set(archive.namelist())
        rows = {
            path: (digest, size)
            for path, digest, size in csv.reader(
                archive.read(next(n for n in names if n.endswith("/RECORD"))).decode().splitlines()
            )
        }
        assert set(rows) == names
        for name in names - {n for n in names if n.endswith("/RECORD")}:
            data = archive.read(name)
            digest = urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            assert rows[name] == (f"sha256={digest}", str(len(data)))
    assert {"prism_edge/__init__.py", "prism_edge/py.typed", "prism_edge/report/page.css"} <= names
    assert "prism_edge/deploy/files/cluster.example.toml" in names
    info = f"prism_edge-{prism_edge.__version__}.dist-info"
    assert {f"{info}/{name}" for name in ("METADATA", "WHEEL", "licenses/LICENSE")} <= names
    assert not [name for name in names if "__pycache__" in name or "/." in name]


def test_it_needs_what_pyproject_says_without_extras(tmp_path: Path) -> None:
    needed = {str(one) for one in requirements_in(repack(tmp_path))}
    assert {"torch>=2.1", 'tomli>=2.0; python_version < "3.11"'} <= needed
    assert not {one for one in needed if Requirement(one).name in ("jetson-stats", "matplotlib")}


def test_metadata_is_written_one_way() -> None:
    ours = ["tomli>=2.0; python_version < '3.11'", "numpy>=1.24", "torch>=2.1"]
    theirs = ["torch >=2.1", "numpy>=1.24", 'tomli>=2.0 ; python_version < "3.11"']
    assert metadata(">=3.10", ours) == metadata(">=3.10", theirs)
    assert metadata(">=3.10", [*ours, "jetson-stats>=4.2; extra == 'jetson'"]) == metadata(
        ">=3.10", ours
    )


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_checkout_and_an_installed_wheel_make_the_same(tmp_path: Path) -> None:
    checkout = copy_of_the_checkout(tmp_path / "checkout")
    first = repacked_by(checkout, tmp_path / "1")
    (checkout / "prism_edge/.hidden").write_text("")
    assert repacked_by(checkout, tmp_path / "2") == first  # it has __pycache__ by now
    installed = tmp_path / "installed"
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target"]
    wheel = next((tmp_path / "1").glob("*.whl"))
    subprocess.run([*pip, str(installed), str(wheel)], check=True, timeout=110)
    assert repacked_by(installed, tmp_path / "3") == first
    (checkout / "prism_edge/plan.py").write_text("")
    assert repacked_by(checkout, tmp_path / "4") != first


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_wheel_that_pip_builds_makes_the_same(tmp_path: Path) -> None:
    """hatchling writes the metadata its own way."""
    pytest.importorskip("hatchling")
    checkout, built = copy_of_the_checkout(tmp_path / "checkout"), tmp_path / "built"
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--target", str(built), str(checkout)], check=True, timeout=250)
    assert not (built / "pyproject.toml").exists()
    assert repacked_by(built, tmp_path / "1") == repacked_by(checkout, tmp_path / "2")
