"""Wheels, models and tables on a board: what is there by checksum is not sent again, and what was
sent is looked at there before it gets its name."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping
from shlex import quote

from prism_edge.deploy import paths
from prism_edge.deploy.content import local
from prism_edge.deploy.must import must
from prism_edge.deploy.runner import Runner
from prism_edge.deploy.step import Local, SendModel, SendTables, SendWheels
from prism_edge.errors import ClusterError, UnreachableError

_SLOWEST_BPS = 20e6  # bytes a second that even a slow card is read and hashed with
_HASH = "cd {directory} 2>/dev/null && find . -type f ! -name '.*' -printf '%P\\0' | \
xargs -0 -r sha256sum --"
_MODEL = """
set -eu
sync -f {making}
mv -T {making} {target}
sync {parent}
"""
# Two renames with nothing between them: a directory cannot replace one that is not empty.
_TABLES = """
set -eu
sync -f {making}
rm -rf {old}
if [ -e {target} ]; then mv -T {target} {old}; fi
mv -T {making} {target}
sync {parent}
rm -rf {old}
"""


def send_wheels(step: SendWheels, runner: Runner, progress: Callable[[str], None]) -> None:
    """The files are in ``paths.WHEELS``."""
    making = posixpath.join(paths.WHEELS, ".making")
    there = digests(runner, paths.WHEELS, sum(file.bytes for file in step.wheels.values()))
    missing = {name: file for name, file in step.wheels.items() if there.get(name) != file.sha256}
    if not missing:
        return
    _stage(runner, "wheels", missing, making, progress, "make the bundle again")
    moved = " ".join(quote(f"{making}/{name}") for name in missing)
    must(
        runner,
        "the wheels cannot be put in place",
        f"sync -f {making} && mv -f {moved} {paths.WHEELS} && rm -rf {making}",
        then="is the disk full or read-only?",
        timeout_s=600,
    )


def send_model(step: SendModel, runner: Runner, progress: Callable[[str], None]) -> None:
    """The model's directory is there and complete."""
    target = paths.model(step.name, step.digest)
    parent, name = posixpath.split(target)
    making = posixpath.join(parent, f".making-{name}")
    if runner.run(f"test -e {quote(target)}", root=True).code == 0:
        return
    _stage(runner, f"model {step.name}", step.files, making, progress, "fetch the model again")
    must(
        runner,
        f"model {step.name} cannot be put in place",
        _MODEL.format(making=quote(making), target=quote(target), parent=quote(parent)),
        then="is the disk full or read-only?",
        timeout_s=600,
    )


def send_tables(step: SendTables, runner: Runner, progress: Callable[[str], None]) -> None:
    """The profile's directory holds these files and no others."""
    making, old = (f"{paths.PROFILES}/.{word}-{step.cluster}" for word in ("making", "removing"))
    _stage(runner, "tables", step.files, making, progress, "push again")
    must(
        runner,
        "the tables cannot be put in place",
        _TABLES.format(
            making=quote(making),
            old=quote(old),
            target=quote(f"{paths.PROFILES}/{step.cluster}"),
            parent=quote(paths.PROFILES),
        ),
        then="is the disk full or read-only?",
        timeout_s=600,
    )


def digests(runner: Runner, directory: str, most_bytes: int) -> dict[str, str]:
    """The SHA-256 of every file below ``directory`` on the board, by relative path."""
    done = runner.run(
        _HASH.format(directory=quote(directory)),
        root=True,
        timeout_s=60 + most_bytes / _SLOWEST_BPS,
    )
    found = {}
    for line in done.out.splitlines():
        digest, _, name = line.partition("  ")
        found[name] = digest
    return found


def _stage(
    runner: Runner,
    what: str,
    files: Mapping[str, Local],
    making: str,
    progress: Callable[[str], None],
    remedy: str,
) -> None:
    """``making`` holds exactly these files. What an interrupted run left there is used if right.
    ``remedy``: for a file here that is not what was promised of it."""
    total = sum(file.bytes for file in files.values())
    there = digests(runner, making, total)
    missing = {name: file for name, file in files.items() if there.get(name) != file.sha256}
    for name, file in missing.items():
        _check_here(what, name, file, remedy)
    folders = sorted({posixpath.dirname(f"{making}/{name}") for name in files} | {making})
    stale = " ".join(quote(f"{making}/{name}") for name in there if name not in files)
    command = f"umask 022; mkdir -p {' '.join(map(quote, folders))} && rm -f {stale} && "
    command += f"find {quote(making)} -type f -name '.*' -delete"
    must(runner, f"{what}: no place for them", command, then="is the disk full or read-only?")
    gone = total - sum(file.bytes for file in missing.values())
    try:
        for name, file in missing.items():
            told = _teller(what, gone, total, progress)
            runner.put(file.path, f"{making}/{name}", sent=told)
            gone += file.bytes
    except UnreachableError:
        raise  # what has arrived is used next time
    except ClusterError:
        # a full disk is no better left full
        runner.run(f"rm -rf {quote(making)}", root=True, timeout_s=600)
        raise
    arrived = digests(runner, making, total)
    for name, file in files.items():
        if arrived.get(name) != file.sha256:
            runner.run(f"rm -f {quote(f'{making}/{name}')}", root=True)
            raise ClusterError(
                f"board {runner.name}: {what}: {name} did not arrive as it was sent (sha256 "
                f"{arrived.get(name, 'none')[:12]}, not {file.sha256[:12]}); push again; if it "
                f"happens twice, look at the board's disk and cable"
            )


def _teller(
    what: str, gone: int, total: int, progress: Callable[[str], None]
) -> Callable[[int], None]:
    """Tells how far a copy is, once per percent; ``gone`` bytes went before this file."""
    last = -1

    def sent(count: int) -> None:
        nonlocal last
        if (percent := 100 * (gone + count) // max(total, 1)) != last:
            last = percent
            progress(f"sending {what}: {(gone + count) / 1e6:.0f} of {total / 1e6:.0f} MB")

    return sent


def _check_here(what: str, name: str, file: Local, remedy: str) -> None:
    """The file here is what was promised. Raises ``ClusterError``."""
    try:
        found = local(file.path).sha256
    except OSError as error:
        raise ClusterError(f"{what}: {file.path} cannot be read: {error.strerror}") from error
    if found != file.sha256:
        raise ClusterError(
            f"{what}: {file.path} is not what was promised for {name} (sha256 {found[:12]}, not "
            f"{file.sha256[:12]}): damaged or changed since; nothing of it was sent; {remedy}"
        )
