"""The hosts of a cluster that engines can be started on from here, and their link in words."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from prism_edge.cluster.host import Host
from prism_edge.cluster.lab import Lab
from prism_edge.cluster.local import LocalHost
from prism_edge.cluster.shaping import format_rate
from prism_edge.errors import SettingsError
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
    """The hosts of a lab, or pinned processes on loopback when the lab is a paced one.

    Raises ``LabError`` when the lab is not up, ``SettingsError`` for boards: those are measured
    where prism-edge has been deployed.
    """
    if settings.kind == "boards":
        raise SettingsError(
            f"cluster {settings.name}: kind = 'boards' cannot be measured from here in this "
            f"version; boards are profiled after `prism-edge deploy`, a lab (`prism-edge lab up`) "
            f"at once"
        )
    if settings.kind == "lab":
        return lab_place(Lab.load(settings.name), settings)
    rate = None if settings.link.rate_bps is None else format_rate(settings.link.rate_bps)
    return Place(
        hosts=pinned_hosts([(board.name, board.address) for board in settings.ranked]),
        rate=rate,
        link=f"{rate or 'rate unknown'}, paced in the transport, not by the kernel",
        pace_file=settings.link.pace_file,
    )


def lab_place(lab: Lab, settings: Settings) -> Place:
    """The lab's boards in the order of ``settings``, with the rates their links have now."""
    hosts = tuple(lab.host(board.name) for board in settings.ranked)
    rates = [lab.state.board(board.name).link.rate_bps for board in settings.ranked]
    same = len(set(rates)) == 1
    words = format_rate(rates[0]) if same else ", ".join(format_rate(rate) for rate in rates)
    link = f"{words}, shaped by the kernel (tbf), switched, full duplex"
    return Place(hosts=hosts, link=link, rate=words)


@contextmanager
def own_lab(boards: int, rate_bps: float) -> Iterator[Settings]:
    """The settings of a lab made for this process; it is gone afterwards, whatever happened.

    SIGTERM and SIGHUP, which would end the process where it stands, interrupt it instead.
    """
    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, signal.default_int_handler) for number in numbers}
    try:
        lab = Lab.up(f"bench-{os.getpid()}", boards, rate_bps)
        try:
            yield read_settings(lab.cluster_toml)
        finally:
            lab.down()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def pinned_hosts(boards: Sequence[tuple[str, str]]) -> tuple[LocalHost, ...]:
    """Processes of this machine in place of (name, address) boards, on a core each if it can."""
    cores = sorted(os.sched_getaffinity(0))
    return tuple(
        LocalHost(name=name, address=address, core=cores[rank % len(cores)])
        for rank, (name, address) in enumerate(boards)
    )
