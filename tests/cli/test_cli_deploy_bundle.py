"""``prism-edge deploy bundle`` as a user calls it."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from little_index import requirements_in

from prism_edge import __version__
from prism_edge.deploy.repack import repack
from prism_edge.deploy.wheel_file import write_wheel

ORIN = ("--python", "3.10", "--machine", "aarch64")
HAVE = ("--have", "torch==2.5.0a0+872d972e41.nv24.08", "--have", "numpy==1.26.4")


@pytest.fixture
def index(tmp_path: Path) -> Path:
    """All that prism-edge needs, each with nothing in it."""
    directory = tmp_path / "index"
    directory.mkdir()
    for one in requirements_in(repack(tmp_path)):
        version = {"torch": "99", "transformers": "5.1"}.get(one.name, "98")
        about = f"Metadata-Version: 2.1\nName: {one.name}\nVersion: {version}\n"
        write_wheel(directory, one.name, version, {}, {"METADATA": about.encode()})
    return directory


def bundle(index: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The verb, with that folder as pip's only index, in the folder above it."""
    command = [sys.executable, "-m", "prism_edge", "deploy", "bundle", *arguments]
    pip = {"PIP_CONFIG_FILE": "/dev/null", "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(index)}
    return subprocess.run(
        command,
        cwd=index.parent,
        env=os.environ | pip,
        capture_output=True,
        text=True,
        timeout=250,
    )


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_what_it_prints(index: Path) -> None:
    done = bundle(index, *ORIN, *HAVE, "--out", "orin")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].endswith(f"/orin: prism-edge {__version__} for Python 3.10 on aarch64")
    assert lines[1].endswith(" MB on a board")
    assert lines[2] == ("the boards keep their own torch 2.5.0a0+872d972e41.nv24.8, numpy 1.26.4")
    assert "asking pip for Python 3.10 on aarch64" in done.stderr
    again = bundle(index, *ORIN, *HAVE, "--out", "orin", "--json")
    assert "are there already" in again.stderr
    said = json.loads(again.stdout)
    assert said["pins"] == {"torch": "2.5.0a0+872d972e41.nv24.8", "numpy": "1.26.4"}
    assert said["wheels"] == len(list((index.parent / "orin/wheels").iterdir()))
    assert said["bytes"] > 0
    assert said["directory"] == str(index.parent / "orin")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (ORIN, "whose torch? --have torch==VERSION"),
        (HAVE, "for which boards? --python 3.10 --machine aarch64, or --cluster cluster.toml"),
        ((*ORIN, "--have", "torch"), "'torch': expected NAME==VERSION"),
        ((*ORIN, "--torch", "numpy==2"), "--torch numpy==2: expected torch==VERSION"),
        ((*ORIN, *HAVE, "--torch", "torch==2.13.0"), "either leaves the boards' torch"),
        ((*ORIN, *HAVE, "--limit", "edge-1"), "are for --cluster"),
        ((*ORIN, "--cluster", "cluster.toml"), "--cluster asks the boards"),
        (("--cluster", "none.toml"), "none.toml"),
    ],
)
def test_misuse_is_exit_2(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    done = bundle(tmp_path / "index", *arguments, "--out", "out")
    assert done.returncode == 2, done.stderr
    assert message in " ".join(done.stderr.replace("│", " ").split())
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_what_pip_does_not_find_is_exit_1(index: Path) -> None:
    (index / "rich-98-py3-none-any.whl").unlink()
    done = bundle(index, *ORIN, *HAVE, "--out", "orin")
    assert done.returncode == 1
    assert "error: no wheels for Python 3.10 on aarch64" in done.stderr
    assert "rich" in done.stderr
    assert not (index.parent / "orin").exists()


def small_files_only() -> None:
    """As on a full disk: no file may grow beyond 64 KiB."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))


def test_a_full_disk_is_told(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "prism_edge",
        "deploy",
        "bundle",
        *ORIN,
        *HAVE,
        "--out",
        "orin",
    ]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        preexec_fn=small_files_only,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stderr == f"error: {tmp_path}/orin: cannot be written: File too large\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_an_interrupt_leaves_nothing(tmp_path: Path) -> None:
    """While pip waits for an index that takes the call and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as index:
        index.settimeout(60)
        work = tmp_path / "work"
        work.mkdir()
        url = f"http://127.0.0.1:{index.getsockname()[1]}/simple"
        pip = {"PIP_CONFIG_FILE": "/dev/null", "PIP_INDEX_URL": url, "PIP_FIND_LINKS": ""}
        verb = subprocess.Popen(
            [sys.executable, "-m", "prism_edge", "deploy", "bundle", *ORIN, *HAVE, "--out", "orin"],
            cwd=work,
            env=os.environ | pip | {"TMPDIR": str(work)},
            stderr=subprocess.PIPE,
            text=True,
        )
        asked, _ = index.accept()
        with asked:
            assert list(work.iterdir()) != []
            verb.send_signal(signal.SIGINT)
            _, said = verb.communicate(timeout=60)
            asked.settimeout(60)
            while asked.recv(4096):  # its request, then the end of pip
                pass
    assert verb.returncode == 130
    assert "Traceback" not in said
    assert list(work.iterdir()) == []
