"""A board that can be worked with: SSH reaches it, and prism-edge and the models are there."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prism_edge import __version__
from prism_edge.cluster.local import finish
from prism_edge.cluster.ssh import SshHost, login, ssh_argv, start
from prism_edge.cluster.ssh_faults import FAILED, fault
from prism_edge.errors import ClusterError
from prism_edge.settings import BoardSettings

DEPLOYED = "/opt/prism-edge/current/venv/bin/python"
TIMEOUT_S = 60.0
_NO_PYTHON = 127
_SHELL = """for python in "$1" "$2"; do
command -v "$python" >/dev/null 2>&1 && shift 2 && exec "$python" -c "$@"
done
exit 127"""
_PYTHON = """import json, os, sys
try:
    from prism_edge import __version__ as version
except ImportError:
    version = None
absent = [path for path in sys.argv[1:] if not os.path.isdir(path)]
print(json.dumps({"python": sys.executable, "version": version, "absent": absent}))"""


def ready(board: BoardSettings, models: Sequence[Path], deployed: str = DEPLOYED) -> SshHost:
    """The host, on which the same prism-edge and every model directory have been seen.

    Raises ``ClusterError``, or its ``UnreachableError``, with what is missing there.
    """
    there = ["sh", "-c", _SHELL, "sh", deployed, board.python, _PYTHON, *map(str, models)]
    # its debug words hold the fingerprint of a key that is not known
    command = ssh_argv(board.ssh, board.ssh_config, f"exec {shlex.join(there)}", log="DEBUG1")
    process = start(command, board.name, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    done = finish(process, f"board {board.name}", ["ssh", board.ssh], TIMEOUT_S)
    where = f"board {board.name} ({board.ssh})"
    if done.returncode == FAILED:
        by_hand = shlex.join(login(board.ssh, board.ssh_config))
        raise fault(board.name, board.ssh, by_hand, done.stderr)
    if done.returncode == _NO_PYTHON:
        raise ClusterError(
            f"{where}: no {board.python} there; write `python` of this board in cluster.toml: "
            f"the interpreter that has prism-edge"
        )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["nothing"])[-1]
        raise ClusterError(
            f"{where}: looking for prism-edge there ended with code {done.returncode}: {last}"
        )
    found = answer(where, done.stdout)
    python, version, absent = found["python"], found["version"], found["absent"]
    if version is None:
        raise ClusterError(
            f"{where}: prism-edge is not installed there for {python}; install it, or write "
            f"`python` of this board in cluster.toml: the interpreter that has it"
        )
    if version != __version__:
        raise ClusterError(
            f"{where}: prism-edge {version} there ({python}), {__version__} here; install the "
            f"same version on both"
        )
    if absent:
        raise ClusterError(
            f"{where}: no directory {', '.join(absent)} there; a model's path is its path on the "
            f"board: copy it there, or name the path it has there"
        )
    return SshHost(
        name=board.name,
        address=board.address,
        target=board.ssh,
        config=board.ssh_config,
        python=python,
    )


def answer(where: str, printed: str) -> dict[str, Any]:
    """What the board found, from its stdout, on which nothing else may appear."""
    noise, _, last = printed.rstrip("\n").rpartition("\n")
    if noise:
        raise ClusterError(
            f"{where}: its shell prints {noise.splitlines()[0]!r} before a command, which would "
            f"end up between an engine's messages; silence ~/.bashrc where there is no terminal"
        )
    try:
        found: dict[str, Any] = json.loads(last)
    except ValueError:
        raise ClusterError(
            f"{where}: it printed {last!r} and not what is there; is `python` of this board in "
            f"cluster.toml a Python, and may any command be run by SSH?"
        ) from None
    return found
