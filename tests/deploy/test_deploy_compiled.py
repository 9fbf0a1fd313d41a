"""What a daemon imports is compiled, below the directories that are ours, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from prism_edge.deploy.compiled import STARTED, compile_below


def test_only_files_below_the_directories_are_compiled(tmp_path: Path) -> None:
    for name in ("ours", "theirs"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "module.py").write_text("x = 1\n")
    files = [str(tmp_path / name / "module.py") for name in ("ours", "theirs")]
    assert compile_below([str(tmp_path / "ours")], files) == 1
    assert [path.parent.parent.name for path in tmp_path.rglob("*.pyc")] == ["ours"]
    assert compile_below([str(tmp_path / "ours")], files) == 0


def test_a_directory_whose_name_begins_alike_is_not_ours(tmp_path: Path) -> None:
    (tmp_path / "ours-not").mkdir()
    (tmp_path / "ours-not" / "module.py").write_text("x = 1\n")
    assert compile_below([str(tmp_path / "ours")], [str(tmp_path / "ours-not/module.py")]) == 0


def test_modules_are_found_by_importing_them_and_nothing_is_written(tmp_path: Path) -> None:
    (tmp_path / "first.py").write_text("import second\n")
    (tmp_path / "second.py").write_text("")
    code = "from prism_edge.deploy.compiled import imported; print(imported(['first']))"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert str(tmp_path / "first.py") in done.stdout
    assert str(tmp_path / "second.py") in done.stdout
    assert list(tmp_path.rglob("*.pyc")) == []


def test_what_a_daemon_starts_with_can_be_imported_by_name() -> None:
    root = Path(__file__).parents[2]
    for name in STARTED:
        assert (root / name.replace(".", "/")).with_suffix(".py").is_file(), name
