"""The hosts of a cluster that engines can be started on from here, and their link in words."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from prism_edge.cluster.host import Host
from prism_edge.cluster.lab import Lab
from prism_edge.cluster.local import LocalHost
from prism_edge.cluster.shaping import format_rate
from prism_edge.errors import SettingsError
from prism_edge.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where to measure. ``hosts``: by rank. ``pace_file``: only where links are paced."""

    hosts: tuple[Host, ...]
    link: str
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
    return Place(
        hosts=pinned_hosts([(board.name, board.address) for board in settings.ranked]),
        link=f"{_rate(settings)}, paced in the transport, not by the kernel",
        pace_file=settings.link.pace_file,
    )


def lab_place(lab: Lab, settings: Settings) -> Place:
    """The lab's boards in the order of ``settings``, with the rates their links have now."""
    hosts = tuple(lab.host(board.name) for board in settings.ranked)
    rates = [lab.state.board(board.name).link.rate_bps for board in settings.ranked]
    same = len(set(rates)) == 1
    words = format_rate(rates[0]) if same else ", ".join(format_rate(rate) for rate in rates)
    return Place(hosts=hosts, link=f"{words}, shaped by the kernel (tbf), switched, full duplex")


def pinned_hosts(boards: Sequence[tuple[str, str]]) -> tuple[LocalHost, ...]:
    """Processes of this machine in place of (name, address) boards, on a core each if it can."""
    cores = sorted(os.sched_getaffinity(0))
    return tuple(
        LocalHost(name=name, address=address, core=cores[rank % len(cores)])
        for rank, (name, address) in enumerate(boards)
    )


def _rate(settings: Settings) -> str:
    rate_bps = settings.link.rate_bps
    return "rate unknown" if rate_bps is None else format_rate(rate_bps)
