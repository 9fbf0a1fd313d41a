"""Everything that is known about a board, in a handful of round trips that change nothing on it."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence

from prism_edge.deploy.assemble import LOGIN, ROOT, assemble
from prism_edge.deploy.facts import Facts
from prism_edge.deploy.here import Here
from prism_edge.deploy.must import must
from prism_edge.deploy.probes import clock, installed, torch
from prism_edge.deploy.probes import python as python_probe
from prism_edge.deploy.probes.script import SILENCE, Answer, answers, script
from prism_edge.deploy.runner import Runner
from prism_edge.errors import ClusterError, UnreachableError

_QUICK_S = 10.0  # for a probe that reads; those that wait for a daemon are the slowest
_HASH_S = 240.0  # for one that hashes whatever lies there
_SKEW_ROUNDS = 3


def gather(runner: Runner, files: Sequence[str] = (), python: str = "python3") -> Facts:
    """What the board says of itself, the states of ``files`` among it; ``python`` is one of it.

    What cannot be found out is None. Without root that is more, and what only root may read looks
    as if it were not there. Raises ``UnreachableError`` when the board is lost, ``ClusterError``
    when it has no usable shell.
    """
    for_login = {**LOGIN, "python": python_probe.command(python)}
    as_login = _ask(runner, for_login, limit_s=_QUICK_S)
    no_root = _no_root(runner)
    for_root = {**ROOT, "files": installed.files_command(files)}
    as_root = _ask(runner, for_root, limit_s=_HASH_S, root=no_root is None)
    for_torch = {"torch": torch.command(python)}  # by itself: it takes seconds, and may not end
    return assemble(
        runner.name,
        as_login,
        as_root,
        torch_said=_ask(runner, for_torch, limit_s=torch.LIMIT_S)["torch"],
        files=files,
        no_root=no_root,
        skew=None if isinstance(runner, Here) else _skew(runner),
    )


def torch_digest(runner: Runner, python: str = "python3") -> str | None:
    """The digest of the content of every file of its torch, torchvision, torchaudio and numpy.

    ``None``: it has none of them. ``python``: better as ``PythonFacts.executable``, because root
    may find another by name. Raises ``ClusterError`` when it cannot be found out.
    """
    about, then = f"the files of its torch cannot be read with {python}", "see `prism-edge check`"
    command = torch.digest_command(python)
    found = torch.digest(must(runner, about, command, then=then, timeout_s=torch.DIGEST_S))
    if found is None:
        raise ClusterError(f"board {runner.name}: {about}; {then}")
    return None if found == "none" else found


def _ask(
    runner: Runner, commands: Mapping[str, str], *, limit_s: float, root: bool = False
) -> dict[str, Answer]:
    token = secrets.token_hex(16)
    # Probes rarely take their limit; all of them together never do.
    done = runner.run(script(commands, token, limit_s), root=root, timeout_s=60.0 + 2 * limit_s)
    found = answers(done.out, token)
    return {name: found.get(name, SILENCE) for name in commands}


def _no_root(runner: Runner) -> str | None:
    """Why the runner has no way to root; None if it has one."""
    try:
        done = runner.run("id -u", root=True)
    except UnreachableError:
        raise
    except ClusterError as error:
        return str(error)
    return None if done.out == "0\n" else f"board {runner.name}: {done.err.strip() or 'no root'}"


def _skew(runner: Runner) -> tuple[float, float] | None:
    """Out of the quickest of a few answers."""
    found = []
    for _ in range(_SKEW_ROUNDS):
        before_s = time.time()
        said = runner.run(clock.NOW).out
        found.append(clock.skew(said, before_s, time.time()))
    return min(filter(None, found), key=lambda skew: skew[1], default=None)
