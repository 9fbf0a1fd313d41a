"""The scripts of a board's lock, run in a directory of this machine."""

from __future__ import annotations

import fcntl
import shlex
import subprocess
from pathlib import Path

import pytest

from prism_edge.deploy import locks


def give(root: Path, word: str) -> subprocess.Popen[bytes]:
    script = locks._GIVE.format(root=shlex.quote(str(root)), lock=root / "lock", word=word)
    return subprocess.Popen(["sh", "-c", script])


@pytest.fixture
def taken(tmp_path: Path) -> Path:
    (tmp_path / ".lock.guard").touch()
    (tmp_path / "lock").write_text("boot 17 word 2026-11-22T00:00:00Z\nsomebody\n")
    return tmp_path


def test_it_is_given_back_once_a_renewal_has_ended(taken: Path) -> None:
    """Before that, the renewal would put it there again, and nobody could deploy for a minute."""
    with (taken / ".lock.guard").open() as renewal:
        fcntl.flock(renewal, fcntl.LOCK_EX)
        with give(taken, "word") as giving:
            with pytest.raises(subprocess.TimeoutExpired):
                giving.wait(0.5)
            assert (taken / "lock").exists()
            fcntl.flock(renewal, fcntl.LOCK_UN)
            assert giving.wait(60) == 0
    assert not (taken / "lock").exists()


def test_somebody_elses_stays(taken: Path) -> None:
    with give(taken, "another") as giving:
        assert giving.wait(60) == 0
    assert (taken / "lock").exists()


def test_where_all_has_been_removed_there_is_none_to_give(tmp_path: Path) -> None:
    with give(tmp_path / "gone", "word") as giving:
        assert giving.wait(60) == 0
