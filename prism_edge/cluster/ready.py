"""A board that can be worked with: SSH reaches it, and prism-edge and the models are there.

A release says in its release.json where the models that were deployed with it are; what else is
asked for is looked for under the path it was given.
"""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Sequence
from typing import Any

from prism_edge import __version__
from prism_edge.cluster.local import finish
from prism_edge.cluster.ssh import SshHost, login, ssh_argv, start
from prism_edge.cluster.ssh_faults import FAILED, UNKNOWN_KEY, fault, last_line
from prism_edge.errors import ClusterError
from prism_edge.settings import BoardSettings, ModelSettings

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
try:
    with open(os.path.join(os.path.dirname(sys.prefix), "release.json")) as file:
        deployed = dict(json.load(file)["models"])
except (OSError, ValueError, KeyError, TypeError):
    deployed = {}
names = [word.partition("=")[::2] for word in sys.argv[1:]]
models = {path: deployed.get(name, path) for name, path in names}
absent = [path for path in models.values() if not os.path.isdir(path)]
print(json.dumps({
    "python": sys.executable, "version": version, "absent": absent, "models": models
}))"""


def ready(
    board: BoardSettings, models: Sequence[ModelSettings], deployed: str = DEPLOYED
) -> SshHost:
    """The host, on which the same prism-edge and the directory of every model have been seen.

    Raises ``ClusterError``, or its ``UnreachableError``, with what is missing there.
    """
    wanted = [f"{model.name}={model.path}" for model in models]
    there = ["sh", "-c", _SHELL, "sh", deployed, board.python, _PYTHON, *wanted]
    done = _ask(board, f"exec {shlex.join(there)}")
    where = f"board {board.name} ({board.ssh})"
    if done.returncode == _NO_PYTHON:
        raise ClusterError(
            f"{where}: no {board.python} there; write `python` of this board in cluster.toml: "
            f"the interpreter that has prism-edge"
        )
    if done.returncode:
        raise ClusterError(
            f"{where}: looking for prism-edge there ended with code {done.returncode}: "
            f"{last_line(done.stderr)}"
        )
    found = answer(where, done.stdout)
    lacking = lack(found["python"], found["version"], found["absent"])
    if lacking:
        raise ClusterError(f"{where}: {lacking}")
    return SshHost(
        name=board.name,
        address=board.address,
        target=board.ssh,
        config=board.ssh_config,
        python=found["python"],
        paths=found["models"],
    )


def lack(python: str, version: str | None, absent: Sequence[str]) -> str | None:
    """What a board that was asked still needs; None: nothing."""
    if version is None:
        return (
            f"prism-edge is not installed there for {python}; install it, or write `python` of "
            f"this board in cluster.toml: the interpreter that has it"
        )
    if version != __version__:
        return (
            f"prism-edge {version} there ({python}), {__version__} here; install the same "
            f"version on both"
        )
    if absent:
        return (
            f"no directory {', '.join(absent)} there; a model that was not deployed is looked for "
            f"under its path here: prism-edge deploy push, or name the path it has there"
        )
    return None


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


def _ask(board: BoardSettings, line: str) -> subprocess.CompletedProcess[str]:
    """The finished command line. Raises ``ClusterError`` when SSH does not get through."""

    def run(log: str) -> subprocess.CompletedProcess[str]:
        command = ssh_argv(board.ssh, board.ssh_config, line, log=log)
        process = start(command, board.name, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        return finish(process, f"board {board.name}", ["ssh", board.ssh], TIMEOUT_S)

    done = run("INFO")
    if done.returncode != FAILED:
        return done
    # only the words for debugging hold the fingerprint of a key that is not known
    said = done.stderr + (run("DEBUG1").stderr if UNKNOWN_KEY in done.stderr else "")
    raise fault(board.name, board.ssh, shlex.join(login(board.ssh, board.ssh_config)), said)
