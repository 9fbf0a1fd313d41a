"""A transcript says what was done, and no secret."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from prism_edge.deploy.transcript import Transcript, transcript
from prism_edge.errors import ClusterError

NOW = datetime(2026, 1, 2, 3, 4, 5)


def test_a_command_is_written_with_its_outcome(tmp_path: Path) -> None:
    found = transcript(tmp_path / "new", "edge-1", NOW)
    assert found.path == tmp_path / "new" / "20260102-030405-edge-1.log"
    found.note("board edge-1")
    found.command("make it\n", 2, 1.234, "".join(f"line {n}\n" for n in range(30)))
    text = found.path.read_text()
    assert " board edge-1\n" in text
    assert " $ make it\n... 10 lines more\nline 10\n" in text
    assert text.endswith("line 29\n= 2 after 1.23 s\n")
    assert found.path.stat().st_mode & 0o777 == 0o600


def test_a_secret_is_not_written(tmp_path: Path) -> None:
    found = Transcript(tmp_path / "log")
    found.hide("")
    found.hide("s3cret word")
    found.command("echo s3cret word", 0, 0.1, "s3cret word\n")
    assert "s3cret" not in found.path.read_text()
    assert "$ echo [secret]\n[secret]\n= 0" in found.path.read_text()


def test_old_ones_are_removed(tmp_path: Path) -> None:
    for number in range(120):
        (tmp_path / f"20250101-{number:06d}-edge-1.log").touch()
    found = transcript(tmp_path, "edge-1", NOW)
    there = sorted(tmp_path.iterdir())
    assert len(there) == 101
    assert there[-1] == found.path
    assert there[0].name == "20250101-000020-edge-1.log"


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ClusterError, match=r"file/x\.log: cannot be written"):
        Transcript(tmp_path / "file" / "x.log")
