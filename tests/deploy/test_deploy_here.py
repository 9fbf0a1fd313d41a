"""This machine as a board: real processes, real files, a file system that is really full."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from prism_edge.cluster.processes import stat
from prism_edge.deploy.here import Here
from prism_edge.deploy.runner import Runner
from prism_edge.errors import ClusterError

HERE: Runner = Here(name="here")
ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="writes as root")


def test_a_command_that_ends() -> None:
    done = HERE.run("printf 'a\\nb'; echo e >&2; exit 7")
    assert (done.code, done.out, done.err) == (7, "a\nb", "e\n")


def test_what_is_not_text_is_replaced() -> None:
    assert HERE.run("printf '\\377x'").out == "\ufffdx"


def test_stdin_is_what_was_given_or_nothing() -> None:
    assert HERE.run("cat", stdin=b"x" * 300_000).out == "x" * 300_000
    assert HERE.run("cat").out == ""
    assert HERE.run("exit 3", stdin=b"x" * 300_000).code == 3


def test_nothing_is_left_of_a_command_that_does_not_end(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    pid.touch()
    limit_s = 0.25
    while not pid.read_text():  # a busy machine may not come so far in that time
        limit_s *= 2
        with pytest.raises(
            ClusterError, match=rf"board here: no end after {limit_s:g} s: sleep 98"
        ):
            HERE.run(f"sleep 987 & echo $! >{pid}; wait", timeout_s=limit_s)
    while stat(int(pid.read_text())) is not None:
        time.sleep(0.01)


@ROOT
def test_put_gives_the_bytes_the_mode_and_root(tmp_path: Path) -> None:
    target = tmp_path / "it's here"
    sizes: list[int] = []
    HERE.put(b"one", str(target), mode=0o640, sent=sizes.append)
    assert (target.read_bytes(), target.stat().st_mode & 0o777) == (b"one", 0o640)
    assert (target.stat().st_uid, target.stat().st_gid) == (0, 0)
    source = tmp_path / "source"
    source.write_bytes(b"two\n" * 100_000)
    HERE.put(source, str(target))
    assert target.read_bytes() == source.read_bytes()
    assert target.stat().st_mode & 0o777 == 0o644
    assert sizes == [3]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["it's here", "source"]


@ROOT
def test_put_replaces_a_link_and_not_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("other")
    (tmp_path / "link").symlink_to("other")
    HERE.put(b"new", str(tmp_path / "link"))
    assert (tmp_path / "other").read_text() == "other"
    assert not (tmp_path / "link").is_symlink()


@ROOT
def test_put_says_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match=r"board here: .*/gone/x cannot be written: .*gone"):
        HERE.put(b"x", str(tmp_path / "gone" / "x"))
    (tmp_path / "directory").mkdir()
    with pytest.raises(ClusterError, match="directory cannot be written"):
        HERE.put(b"x", str(tmp_path / "directory"))
    with pytest.raises(ClusterError, match="nothing cannot be read: No such file"):
        HERE.put(tmp_path / "nothing", str(tmp_path / "x"))
    assert [path.name for path in tmp_path.iterdir()] == ["directory"]


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("may not mount")
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


@pytest.mark.lab
def test_a_full_disk_keeps_the_old_file_and_says_how_much_is_missing(tiny_disk: Path) -> None:
    target = tiny_disk / "model"
    HERE.put(b"old", str(target))
    with pytest.raises(ClusterError, match=r"it has 3\.0 MB, 1\.0 MB are free; make room for 2 MB"):
        HERE.put(b"x" * 3_000_000, str(target))
    assert target.read_bytes() == b"old"
    assert [path.name for path in tiny_disk.iterdir()] == ["model"]


@ROOT
def test_get_brings_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "there").write_bytes(b"\0\377" * 50_000)
    HERE.get(str(tmp_path / "there"), tmp_path / "here")
    assert (tmp_path / "here").read_bytes() == b"\0\377" * 50_000
    with pytest.raises(ClusterError, match=r"board here: cat: .*gone"):
        HERE.get(str(tmp_path / "gone"), tmp_path / "here")
    with pytest.raises(ClusterError, match=r"no/here cannot be written"):
        HERE.get(str(tmp_path / "there"), tmp_path / "no" / "here")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here", "there"]


# A user who may not become root: the command runs in a child that has dropped its rights.
AS_NOBODY = """
import os, sys
from prism_edge.cluster.processes import stat
from prism_edge.deploy.here import Here
from prism_edge.errors import ClusterError
os.setgid(65534); os.setuid(65534)
assert Here(name="here").run("id -u").out == "65534\\n"
try:
    Here(name="here").run("id -u", root=True)
except ClusterError as error:
    print(error)
"""


@ROOT
def test_who_may_not_become_root_is_told_so() -> None:
    command = [sys.executable, "-c", AS_NOBODY]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("board here: this needs root")
