"""A finding that is safe to repair by itself: shown first, then done.

The line ``127.0.1.1 NAME`` of /etc/hosts is left alone: prism-edge goes by the addresses in
cluster.toml, cloud-init writes the line again at every boot, and a wrong address there keeps sudo
waiting for a name server. So are power modes (they may need a reboot), ARP (it changes how the
board answers on the way that we came by), packages, and jetson-stats (its group is root's).
"""

from __future__ import annotations

import posixpath
import shlex
from collections.abc import Iterator

from prism_edge.deploy.findings.finding import Fix
from prism_edge.deploy.runner import Runner
from prism_edge.deploy.sources import source
from prism_edge.errors import ClusterError


def steps(fix: Fix) -> Iterator[str]:
    """What it does, a line each, as a person would type it as root; files with their content."""
    for path, name in fix.files.items():
        yield f"write {path}"
        for line in source(name).read_text(encoding="utf-8").splitlines():
            if line and not line.startswith("#"):
                yield f"    {line}"
    yield from fix.commands


def carry_out(fix: Fix, runner: Runner) -> None:
    """All of it is done on the board; ``ClusterError`` says which part was not, and why."""
    for path, name in fix.files.items():
        _run(runner, f"mkdir -p {shlex.quote(posixpath.dirname(path))}")
        runner.put(source(name), path)
    for command in fix.commands:
        _run(runner, command)


def _run(runner: Runner, command: str) -> None:
    done = runner.run(command, root=True)
    if done.code:
        said = done.err.strip().splitlines() or [f"it ended with code {done.code}"]
        raise ClusterError(f"board {runner.name}: {command}: {said[-1]}")
