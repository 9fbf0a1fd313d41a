"""pip answers for another machine, or says that it cannot."""

from __future__ import annotations

import json
import subprocess
import sys
import venv
from pathlib import Path

from prism_edge.deploy.target import Target, markers
from prism_edge.deploy.wheels import FOREIGN_PIP

ORIN = markers(Target(python="3.10", machine="aarch64", pins={"torch": "2.5.0"}))


def foreign_pip(python: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(python), str(FOREIGN_PIP), json.dumps(ORIN), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_it_is_pip() -> None:
    done = foreign_pip(Path(sys.executable), "--version")
    assert done.stdout.startswith("pip "), done.stderr
    assert foreign_pip(Path(sys.executable), "no-such-command").returncode == 1


def test_its_markers_are_those_of_the_board() -> None:
    """``pip debug`` would not tell; pip's own packaging does."""
    program = (
        "import runpy, sys\n"
        "sys.argv = [sys.argv[1], sys.argv[2], '--version']\n"
        "try:\n    runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "except SystemExit:\n    pass\n"
        "from pip._vendor.packaging.markers import Marker\n"
        'print(Marker(\'python_version < "3.11" and platform_machine == "aarch64"\').evaluate())'
    )
    command = [sys.executable, "-c", program, str(FOREIGN_PIP), json.dumps(ORIN)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "True", done.stderr


def test_a_python_without_pip_is_told(tmp_path: Path) -> None:
    venv.create(tmp_path, with_pip=False)
    done = foreign_pip(tmp_path / "bin/python", "--version")
    assert done.returncode == 1
    assert "has no pip; " in done.stderr
    assert done.stderr.rstrip().endswith("-m ensurepip brings it")
