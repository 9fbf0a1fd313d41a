"""The hosts of a cluster that engines can be started on from here, and their link in words."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from prism_edge.cluster.host import Host
from prism_edge.cluster.lab import Lab
from prism_edge.cluster.local import LocalHost
from prism_edge.cluster.ready import ready
from prism_edge.cluster.shaping import format_rate
from prism_edge.cluster.ssh import SshHost
from prism_edge.errors import ClusterError, SettingsError
from prism_edge.profile.interruption import interruptible
from prism_edge.settings import Settings, read_settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where to measure. ``hosts``: by rank. ``rate``: None where nobody knows it. ``pace_file``:
    only where links are paced."""

    hosts: tuple[Host, ...]
    link: str
    rate: str | None
    pace_file: Path | None = None


def find_place(settings: Settings) -> Place:
    """Boards behind SSH, the hosts of a lab, or pinned processes on loopback when it is paced.

    Raises ``LabError`` when the lab is not up, ``SettingsError`` when a board has no ``ssh``,
    ``ClusterError`` with all that is wrong on the boards.
    """
    rate, link = link_of(settings)
    if settings.kind == "lab":
        lab = Lab.load(settings.name)
        hosts = tuple(
            replace(lab.host(board.name), address=settings.data_address(board.name))
            for board in settings.ranked
        )
        return Place(hosts=hosts, rate=rate, link=link)
    if settings.kind == "boards":
        return Place(hosts=board_hosts(settings), rate=rate, link=link)
    return Place(
        hosts=pinned_hosts([(board.name, board.address) for board in settings.ranked]),
        rate=rate,
        link=link,
        pace_file=settings.link.pace_file,
    )


def link_of(settings: Settings) -> tuple[str | None, str]:
    """The rate of the links, None where nobody knows it, and the link in words; no board is looked
    at. Of a lab: as its links are now; raises ``LabError`` when there is none."""
    inside = ", inside WireGuard" if settings.mesh.subnet else ""
    if settings.kind == "lab":
        state = Lab.load(settings.name).state
        rates = [format_rate(state.board(board.name).link.rate_bps) for board in settings.ranked]
        words = rates[0] if len(set(rates)) == 1 else ", ".join(rates)
        return words, f"{words}, shaped by the kernel (tbf), switched, full duplex{inside}"
    rate = None if settings.link.rate_bps is None else format_rate(settings.link.rate_bps)
    if settings.kind == "boards":
        known = f"nominally {rate}" if rate else "rate unknown"
        return rate, f"{known}, the boards' own network{inside}"
    return rate, f"{rate or 'rate unknown'}, paced in the transport, not by the kernel"


def board_hosts(settings: Settings) -> tuple[SshHost, ...]:
    """The boards by rank, all looked at at once: prism-edge and the models are there.

    Engines on them meet where a daemon's would, on the mesh if there is one.
    """
    mute = [board.name for board in settings.ranked if not board.ssh]
    if mute:
        raise SettingsError(
            f'board {", ".join(mute)}: no ssh in cluster.toml; write ssh = "user@host" in its '
            f"[[boards]], or measure a lab (`prism-edge lab up`)"
        )
    with ThreadPoolExecutor(len(settings.boards)) as pool:
        found = [pool.submit(ready, board, settings.models) for board in settings.ranked]
    wrong = [error for future in found if (error := future.exception())]
    for error in wrong:
        if len(wrong) == 1 or not isinstance(error, ClusterError):
            raise error
    if wrong:
        raise ClusterError("\n".join(map(str, wrong)))
    return tuple(
        replace(future.result(), address=settings.data_address(board.name))
        for board, future in zip(settings.ranked, found, strict=True)
    )


@contextmanager
def own_lab(boards: int, rate_bps: float) -> Iterator[Settings]:
    """The settings of a lab made for this process; it is gone afterwards, whatever happened.

    SIGTERM and SIGHUP, which would end the process where it stands, interrupt it instead.
    """
    with interruptible():
        lab = Lab.up(f"bench-{os.getpid()}", boards, rate_bps)
        try:
            yield read_settings(lab.cluster_toml)
        finally:
            lab.down()


def pinned_hosts(boards: Sequence[tuple[str, str]]) -> tuple[LocalHost, ...]:
    """Processes of this machine in place of (name, address) boards, on a core each if it can."""
    cores = sorted(os.sched_getaffinity(0))
    return tuple(
        LocalHost(name=name, address=address, core=cores[rank % len(cores)])
        for rank, (name, address) in enumerate(boards)
    )
