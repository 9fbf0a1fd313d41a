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
from prism_edge.deploy.must import must
from prism_edge.deploy.runner import Runner
from prism_edge.deploy.sources import source


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
    then = "nothing after it was done; try it by hand, as root"
    for path, name in fix.files.items():
        directory = shlex.quote(posixpath.dirname(path))
        must(runner, f"{path} has no place", f"mkdir -p {directory}", then=then)
        runner.put(source(name), path)
    for command in fix.commands:
        must(runner, "a repair failed", command, then=then)
