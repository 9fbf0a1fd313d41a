"""A Jetson Orin Nano with which nothing is wrong, and what it is meant for, for tests to spoil."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from prism_edge.deploy.facts import (
    Clock,
    Facts,
    Identity,
    Installed,
    Interface,
    Jtop,
    Network,
    PowerMode,
    PythonFacts,
    Storage,
    TorchFacts,
    UserFacts,
)
from prism_edge.mesh import MeshSettings
from prism_edge.settings import BoardSettings, Settings

ETHERNET = Interface(
    name="enP8p1s0",
    kind="ethernet",
    up=True,
    addresses=("10.0.0.11/24", "fe80::1/64"),
)
WIFI = Interface(
    name="wlP1p1s0",
    kind="wifi",
    up=True,
    addresses=("192.168.7.11/24", "fe80::2/64"),
    power_save=False,
)
LOOPBACK = Interface(name="lo", kind="loopback", up=True, addresses=("127.0.0.1/8", "::1/128"))

ORIN = Facts(
    board="edge-1",
    identity=Identity(
        model="NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super",
        compatible=("nvidia,p3768-0000+p3767-0005-super", "nvidia,p3767-0005", "nvidia,tegra234"),
        l4t="36.4.3",
        jetpack="6.2",
        architecture="aarch64",
        kernel="5.15.148-tegra",
        system="Ubuntu 22.04.5 LTS",
        hostname="edge-1",
    ),
    python=PythonFacts(executable="/usr/bin/python3.10", version="3.10.12", venv=True),
    torch=TorchFacts(
        version="2.5.0a0+872d972e41.nv24.8",
        location="/usr/local/lib/python3.10/dist-packages/torch",
        cuda="12.6",
        cuda_available=True,
        distributed=True,
        gloo=True,
        pins={"torch": "2.5.0a0+872d972e41.nv24.8", "numpy": "1.26.4"},
    ),
    power=PowerMode(
        current="25W",
        default="25W",
        offered={0: "15W", 1: "25W", 2: "MAXN_SUPER"},
        clocks_locked=False,
    ),
    network=Network(
        interfaces=(LOOPBACK, ETHERNET, WIFI),
        own_name=("10.0.0.11",),
        wireguard="kernel",
        firewall="nft",
        firewall_active=True,
        arp_ignore=0,
        arp_announce=0,
    ),
    storage=Storage(
        free_bytes=200 * 10**9,
        total_bytes=250 * 10**9,
        memory_bytes=7_990_000_000,
        available_bytes=6 * 10**9,
        swap_bytes=4 * 10**9,
        swap_kind="zram",
    ),
    clock=Clock(synchronised=True, service="chrony", skew_s=0.002, bound_s=0.004),
    user=UserFacts(name="nvidia", groups=("nvidia", "sudo", "video", "render"), sudo="free"),
    jtop=Jtop(),
    installed=Installed(),
)
PC = replace(
    ORIN,
    identity=Identity(
        architecture="x86_64", kernel="6.1", system="Debian GNU/Linux 12", hostname="edge-1"
    ),
    power=PowerMode(),
)
SERVING = Installed(
    releases=("0.1.0-aaaaaaaa",),
    current="0.1.0-aaaaaaaa",
    user=True,
    groups=("prism-edge", "video", "render"),
    active="active",
    enabled=True,
    mesh_active=True,
)
BOARDS = (
    BoardSettings(name="edge-1", address="10.0.0.11", device="cuda"),
    BoardSettings(name="edge-2", address="10.0.0.12", device="cuda"),
)
CLUSTER = Settings(
    name="lab",
    leader="edge-1",
    profiles=Path("profiles/lab"),
    boards=BOARDS,
    mesh=MeshSettings(subnet="10.99.0.0/24"),
)


def but(facts: Facts, **parts: dict[str, Any]) -> Facts:
    """The same facts with some of a part changed: ``but(ORIN, clock={"skew_s": 2.0})``."""
    changed = {name: replace(getattr(facts, name), **values) for name, values in parts.items()}
    return replace(facts, **changed)


def meant(**changes: Any) -> tuple[Settings, BoardSettings]:
    """The cluster, with this board's settings changed."""
    board = replace(BOARDS[0], **changes)
    return replace(CLUSTER, boards=(board, BOARDS[1])), board
