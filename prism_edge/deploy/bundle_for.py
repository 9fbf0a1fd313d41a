"""The bundle that boards want, found in the cache or made there."""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from prism_edge.deploy.bundle import Bundle
from prism_edge.deploy.everywhere import Open, everywhere
from prism_edge.deploy.facts import Facts
from prism_edge.deploy.gather import gather
from prism_edge.deploy.make_bundle import make_bundle
from prism_edge.deploy.target import Target
from prism_edge.errors import ClusterError
from prism_edge.settings import BoardSettings


def ask(boards: Sequence[BoardSettings], opened: Open, torch: str | None = None) -> Target:
    """What all these boards can use, asked all at once. Raises ``ClusterError``."""
    found = everywhere(boards, opened, lambda board, runner: gather(runner, python=board.python))
    if errors := [one.error for one in found if one.error is not None]:
        raise ClusterError("\n".join(errors))
    return target_of([one.value for one in found if one.value is not None], torch)


def target_of(facts: Sequence[Facts], torch: str | None = None) -> Target:
    """What all these boards can use. ``torch``: the version to bring along; None: their own stays.

    Raises ``ClusterError`` when one bundle cannot serve them all.
    """
    targets = [(one.board, of_board(one, torch)) for one in facts]
    (first, wanted), *others = targets
    for board, target in others:
        if target != wanted:
            raise ClusterError(
                f"boards {first} and {board} need a bundle each: {words(wanted)} there, "
                f"{words(target)} here; take them one after the other with --limit"
            )
    return wanted


def of_board(facts: Facts, torch: str | None) -> Target:
    """What one board can use."""
    if facts.python is None:
        raise ClusterError(
            f"board {facts.board}: has no Python 3.10 or later; see prism-edge check"
        )
    python = ".".join(facts.python.version.split(".")[:2])
    machine = facts.identity.architecture
    if torch:
        return Target(python=python, machine=machine, torch=torch)
    if facts.torch.version is None:
        raise ClusterError(
            f"board {facts.board}: has no torch of its own; install the one for its JetPack, or "
            f"bring one along: prism-edge deploy bundle --cluster cluster.toml --torch "
            f"torch==VERSION --out bundle, then push with --bundle bundle"
        )
    return Target(python=python, machine=machine, pins=facts.torch.pins)


def words(target: Target) -> str:
    """For messages."""
    pins = ", ".join(f"{name} {version}" for name, version in target.pins.items())
    return f"Python {target.python}, {target.machine}, {pins or f'torch {target.torch} inside'}"


def bundle_for(target: Target, cache: Path, tell: Callable[[str], None]) -> Bundle:
    """The bundle for the target below ``cache``, with the prism-edge that runs here.

    Made by one caller at a time; the others find it there, and it stays as it is.
    """
    content = json.dumps(asdict(target), sort_keys=True)
    digest = hashlib.sha256(content.encode()).hexdigest()[:12]
    try:
        cache.mkdir(parents=True, exist_ok=True)
        lock = (cache / ".lock").open("w")
    except OSError as error:
        raise ClusterError(f"{cache}: cannot be written: {error.strerror}") from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        out = cache / f"py{target.python}-{target.machine}-{digest}"
        return make_bundle(target, out, tell=tell)
