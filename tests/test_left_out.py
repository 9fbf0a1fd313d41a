"""What cannot run here is left out by name, and nothing else is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
# pytest in an interpreter that believes it has no torch
WITHOUT_TORCH = """
import importlib.util as u, sys
real = u.find_spec
u.find_spec = lambda name, *rest: None if name == "torch" else real(name, *rest)
import pytest
sys.exit(pytest.main(sys.argv[1:]))
"""
MARKERS = "[pytest]\nmarkers =\n    lab: x\n    gpu: x\n    slow: x\n"


def pytest_in(directory: Path, program: str, **files: str) -> subprocess.CompletedProcess[str]:
    """A run of pytest over the given test files with our conftest, and with nothing on PATH."""
    shutil.copy(HERE / "conftest.py", directory)
    (directory / "pytest.ini").write_text(MARKERS)
    for name, source in files.items():
        (directory / f"test_{name}.py").write_text(source)
    return subprocess.run(
        [sys.executable, "-c", program, "-p", "no:cacheprovider", "-q", str(directory)],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=directory,
        env={**os.environ, "PATH": str(directory), "PYTHONDONTWRITEBYTECODE": "1"},
        check=False,
    )


def test_a_file_whose_package_is_missing_is_left_out_and_named(tmp_path: Path) -> None:
    done = pytest_in(
        tmp_path, WITHOUT_TORCH, needy="import no_such_package", fine="def test_it(): pass"
    )
    assert done.returncode == 0, done.stdout
    assert "not run: 1 test files that need no_such_package: test_needy.py" in done.stdout
    assert "1 passed" in done.stdout


def test_a_file_that_is_broken_is_not_left_out(tmp_path: Path) -> None:
    done = pytest_in(tmp_path, WITHOUT_TORCH, stale="from prism_edge import no_such_module")
    assert done.returncode == 2, done.stdout
    done = pytest_in(tmp_path, WITHOUT_TORCH, stale="import prism_edge.no_such_module")
    assert done.returncode == 2, done.stdout
    assert "not run" not in done.stdout


def test_with_torch_a_missing_package_is_an_error(tmp_path: Path) -> None:
    with_torch = WITHOUT_TORCH.replace("None if", "object() if")
    done = pytest_in(tmp_path, with_torch, needy="import no_such_package")
    assert done.returncode == 2, done.stdout
    assert "not run" not in done.stdout


def test_an_unmet_marker_is_deselected_and_told(tmp_path: Path) -> None:
    marked = (
        "import pytest\n"
        "@pytest.mark.lab\ndef test_lab(): assert False\n"
        "@pytest.mark.gpu\n@pytest.mark.slow\ndef test_gpu(): assert False\n"
        "@pytest.mark.slow\ndef test_slow(): pass\n"
    )
    done = pytest_in(tmp_path, WITHOUT_TORCH, marked=marked)
    assert done.returncode == 0, done.stdout
    assert "1 passed, 2 deselected" in done.stdout
    assert "not run: 1 tests marked lab: no network namespaces" in done.stdout
    assert "not run: 1 tests marked gpu: no CUDA device" in done.stdout
