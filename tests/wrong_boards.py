"""Boards with one thing wrong each, one for every finding that there is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from a_board import BOARDS, CLUSTER, ETHERNET, LOOPBACK, ORIN, PC, SERVING, WIFI, but, meant

from prism_edge.deploy.facts import Facts, Jtop, TorchFacts
from prism_edge.deploy.findings.finding import Severity
from prism_edge.mesh import MeshSettings
from prism_edge.settings import BoardSettings, Settings

PACKAGE = Path(__file__).parents[1] / "prism_edge"


@dataclass(frozen=True, kw_only=True)
class Wrong:
    """A board with one thing wrong; what is found, and words of ``what`` and of the remedy."""

    code: str
    facts: Facts
    severity: Severity
    what: str
    remedy: str
    settings: Settings | None = CLUSTER
    board: BoardSettings | None = BOARDS[0]


def on(facts: Facts, code: str, severity: Severity, what: str, remedy: str) -> Wrong:
    """For a board of the cluster, whose engine computes on its GPU."""
    return Wrong(code=code, facts=facts, severity=severity, what=what, remedy=remedy)


def alone(facts: Facts, code: str, severity: Severity, what: str, remedy: str) -> Wrong:
    """The same board, of which nobody has said what it is meant for."""
    found = on(facts, code, severity, what, remedy)
    return replace(found, settings=None, board=None)


def as_meant(
    facts: Facts, code: str, severity: Severity, what: str, remedy: str, **changes: object
) -> Wrong:
    """For a board whose settings are others."""
    settings, board = meant(**changes)
    found = on(facts, code, severity, what, remedy)
    return replace(found, settings=settings, board=board)


MISSING = TorchFacts(error="No module named 'torch'")
NO_GLOO = "distributed mode unavailable: this PyTorch (2.5.0a0+872d972e41.nv24.8) was built without"
FROM_LAB = "the Jetson AI Lab community index, or build PyTorch with USE_DISTRIBUTED=1 USE_GLOO=1"
BOTH = (LOOPBACK, ETHERNET, replace(WIFI, addresses=("10.0.0.61/24",)))
SLEEPY = replace(WIFI, power_save=True)
SUPER = {0: "15W", 1: "25W", 2: "MAXN_SUPER"}
OLDER = {0: "15W", 1: "7W"}

WRONG = [
    alone(but(ORIN, identity={"l4t": "40.1", "jetpack": None}), "l4t-unknown", "note", "40.1", "."),
    on(replace(ORIN, python=None), "python-missing", "blocked", "python3 does not", "apt-get"),
    on(
        but(ORIN, python={"version": "3.8.10"}, identity={"l4t": "35.4.1", "jetpack": "5.1.2"}),
        "python-old",
        "blocked",
        "Python 3.8.10, where 3.10",
        "JetPack 6 and later",
    ),
    alone(but(PC, python={"version": "3.9.2"}), "python-old", "blocked", "3.9.2", "set python of"),
    on(but(ORIN, python={"venv": False}), "venv-missing", "blocked", "3.10", "python3.10-venv"),
    on(replace(ORIN, torch=MISSING), "torch-missing", "blocked", "No module named", FROM_LAB),
    alone(replace(ORIN, torch=MISSING), "torch-missing", "warning", "CPU only", "JetPack 6.2"),
    alone(replace(PC, torch=MISSING), "torch-missing", "note", "no torch", "brings one along"),
    on(
        but(ORIN, torch={"error": "libcusparseLt.so.0: cannot open shared object file"}),
        "torch-broken",
        "blocked",
        "libcusparseLt.so.0: cannot open",
        "libcusparse-lt",
    ),
    on(
        but(ORIN, torch={"error": "libnvpl_lapack_lp64_gomp.so.0: cannot open"}),
        "torch-broken",
        "blocked",
        "libnvpl",
        "SBSA",
    ),
    on(but(ORIN, torch={"error": "boom"}), "torch-broken", "blocked", "boom", "import torch"),
    alone(
        replace(ORIN, torch=TorchFacts(error="it took longer", pins={"torch": "2.5.0"})),
        "torch-broken",
        "blocked",
        "torch 2.5.0 is installed and does not work: it took longer",
        "import torch",
    ),
    on(
        but(ORIN, torch={"gloo": False, "gloo_error": "RuntimeError: no address"}),
        "gloo-fails",
        "blocked",
        "this board alone fails: RuntimeError: no address",
        "$ sudo ip link set lo up",
    ),
    on(
        but(ORIN, torch={"distributed": False, "gloo": False}),
        "torch-no-distributed",
        "blocked",
        f"{NO_GLOO} torch.distributed/GLOO; local mode only",
        f"Fix: install the torch for JetPack 6.2 from {FROM_LAB}",
    ),
    alone(but(ORIN, torch={"gloo": False}), "torch-no-distributed", "warning", NO_GLOO, FROM_LAB),
    on(
        but(ORIN, torch={"cuda": None, "cuda_available": False}),
        "torch-cpu-only",
        "blocked",
        "cluster.toml says device = 'cuda'",
        "uninstall torch",
    ),
    alone(
        but(ORIN, torch={"cuda": None, "cuda_available": False}),
        "torch-cpu-only",
        "warning",
        "a Jetson, whose GPU it cannot use",
        "JetPack 6.2",
    ),
    on(
        but(ORIN, torch={"cuda_available": False}),
        "torch-cuda-unusable",
        "blocked",
        "built for CUDA 12.6",
        "groups video and render",
    ),
    on(
        but(ORIN, torch={"location": "/home/nvidia/.local/lib/python3.10/site-packages/torch"}),
        "torch-in-home",
        "blocked",
        "home directory",
        "pip install --no-deps torch-*.whl",
    ),
    alone(
        replace(ORIN, torch=TorchFacts(error="torch is in /home/n/.local/lib only, which a ...")),
        "torch-in-home",
        "warning",
        "home directory",
        "for all users",
    ),
    on(
        but(ORIN, installed={"wheels": {"transformers-5.20.2-py3-none-any.whl": "0"}}),
        "transformers-floor",
        "note",
        "transformers 5.20.2",
        "transformers<5.15",
    ),
    on(
        but(ORIN, network={"own_name": ("127.0.1.1",)}),
        "name-is-loopback",
        "note",
        "edge-1, means 127.0.1.1",
        "/etc/hosts",
    ),
    as_meant(
        but(ORIN, network={"own_name": ("127.0.1.1",)}),
        "name-is-loopback",
        "blocked",
        "which means 127.0.1.1 on the board itself",
        "it has 10.0.0.11, 192.168.7.11",
        address="edge-1",
    ),
    as_meant(
        ORIN,
        "address-loopback",
        "blocked",
        "127.0.0.1, which no other board reaches",
        "it has 10.0.0.11",
        address="127.0.0.1",
    ),
    as_meant(
        ORIN,
        "address-elsewhere",
        "blocked",
        "10.0.0.99 is on none of its interfaces",
        "10.0.0.11, 192.168.7.11",
        address="10.0.0.99",
    ),
    on(
        but(ORIN, network={"interfaces": (LOOPBACK, replace(ETHERNET, up=False), WIFI)}),
        "interface-down",
        "blocked",
        "enP8p1s0, which has 10.0.0.11, is down",
        "$ sudo ip link set enP8p1s0 up",
    ),
    as_meant(
        ORIN,
        "address-on-wifi",
        "note",
        "192.168.7.11 is on Wi-Fi (wlP1p1s0) while Ethernet (enP8p1s0, 10.0.0.11/24) is up",
        "faster",
        address="192.168.7.11",
    ),
    on(
        but(ORIN, network={"interfaces": BOTH}),
        "arp",
        "warning",
        "enP8p1s0 and wlP1p1s0 are both in 10.0.0.0/24",
        "sysctl -p /etc/sysctl.d/90-prism-edge-arp.conf",
    ),
    alone(
        but(ORIN, network={"interfaces": (LOOPBACK, ETHERNET, SLEEPY)}),
        "wifi-power-save",
        "warning",
        "wlP1p1s0 is on",
        "$ sudo iw dev wlP1p1s0 set power_save off",
    ),
    on(
        but(ORIN, network={"interfaces": (LOOPBACK, ETHERNET, SLEEPY)}),
        "wifi-power-save",
        "note",
        "wlP1p1s0",
        "wifi.powersave = 2",
    ),
    on(
        but(ORIN, network={"wireguard": "none", "wireguard_why": "no module, no /dev/net/tun"}),
        "mesh-impossible",
        "blocked",
        "no module, no /dev/net/tun",
        "wireguard-go",
    ),
    on(
        but(ORIN, network={"wireguard": "userspace"}),
        "mesh-userspace",
        "note",
        "wireguard-go does",
        "Measure",
    ),
    on(
        replace(ORIN, installed=replace(SERVING, mesh_active=False)),
        "mesh-down",
        "blocked",
        "prism0 is not up",
        "journalctl",
    ),
    on(
        but(ORIN, network={"firewall": "none", "firewall_active": None}),
        "firewall-absent",
        "warning",
        "neither nftables nor iptables",
        "nftables",
    ),
    on(
        but(ORIN, network={"firewall_active": False}),
        "firewall-absent",
        "warning",
        "nft works and has no rules",
        "Push lays rules",
    ),
    on(PC, "no-power-sensor", "warning", "power = 'sensor'", "power = 'none'"),
    alone(but(ORIN, power={"clocks_locked": True}), "clocks-locked", "note", "next boot", "--rest"),
    alone(but(ORIN, power={"current": None}), "mode-unread", "note", "cannot be read", "nvpmodel"),
    alone(
        but(ORIN, power={"current": "20W", "offered": SUPER}),
        "mode-unknown",
        "warning",
        "'20W' is none of those offered: 15W, 25W, MAXN_SUPER",
        "$ sudo nvpmodel -m 1",
    ),
    alone(
        but(ORIN, power={"current": "15W", "offered": SUPER}),
        "mode-low",
        "warning",
        "15W, slower than 25W",
        "$ sudo nvpmodel -m 1",
    ),
    alone(
        but(ORIN, power={"current": "7W", "default": "15W", "offered": OLDER}),
        "mode-low",
        "warning",
        "7W, slower than 15W",
        "$ sudo nvpmodel -m 0",
    ),
    alone(
        but(ORIN, power={"current": "MAXN_SUPER", "offered": SUPER}),
        "mode-other",
        "note",
        "MAXN_SUPER, not 25W",
        "look again",
    ),
    alone(
        but(ORIN, clock={"synchronised": False, "service": None}),
        "clock-free",
        "warning",
        "nothing sets its clock",
        "timedatectl set-ntp true",
    ),
    on(
        but(ORIN, clock={"synchronised": False}),
        "clock-unsynchronised",
        "warning",
        "chrony runs and has not set its clock yet; a board that boots with a clock in the past",
        "chronyc sources",
    ),
    alone(
        but(ORIN, clock={"skew_s": -3.0, "bound_s": 0.1}),
        "clock-skew",
        "warning",
        "3.0 s behind the clock here (known within 0.1 s)",
        "time server",
    ),
    alone(
        but(ORIN, storage={"available_bytes": 600_000_000}),
        "memory-low",
        "warning",
        "0.6 of 8.0 GB",
        "multi-user.target",
    ),
    alone(but(ORIN, storage={"swap_kind": "none"}), "swap-none", "note", "no swap", "nvzramconfig"),
    alone(but(PC, storage={"swap_kind": "none"}), "swap-none", "note", "no swap", "zram-generator"),
    alone(but(ORIN, storage={"swap_kind": "sd"}), "swap-sd", "warning", "(4.0 GB)", "swapoff"),
    alone(
        but(ORIN, storage={"free_bytes": 2 * 10**9}), "disk-low", "warning", "2.0 of 250.0", "du"
    ),
    alone(but(ORIN, storage={"free_bytes": 10**8}), "disk-low", "blocked", "0.1 of 250", "apt-get"),
    on(
        but(ORIN, user={"sudo": "none"}), "no-sudo", "blocked", "nvidia may not", "usermod -aG sudo"
    ),
    alone(but(ORIN, user={"sudo": "none"}), "no-sudo", "warning", "nvidia may not", "nvidia"),
    alone(
        but(ORIN, user={"sudo": "password", "no_root": "sudo: a password is required"}),
        "no-root",
        "note",
        "a password is required",
        "Put sudo before",
    ),
    on(
        but(ORIN, user={"sudo": "password", "no_root": "sudo wants a password"}),
        "no-root",
        "note",
        "was not looked at: sudo wants a password",
        "--ask-sudo",
    ),
    alone(
        but(ORIN, user={"groups": ("nvidia", "sudo")}),
        "login-groups",
        "note",
        "nvidia is not in video and render",
        "usermod -aG video,render nvidia",
    ),
    alone(
        replace(ORIN, installed=replace(SERVING, groups=("prism-edge", "video"))),
        "service-groups",
        "warning",
        "prism-edge, is not in render",
        "usermod -aG render prism-edge",
    ),
    on(
        replace(ORIN, installed=replace(SERVING, groups=("prism-edge",))),
        "service-groups",
        "blocked",
        "not in video and render",
        "systemctl restart prism-edge.service",
    ),
    alone(
        replace(ORIN, installed=replace(SERVING, pending="0.2.0-bbbbbbbb")),
        "release-pending",
        "warning",
        "0.2.0-bbbbbbbb was switched to",
        "$ sudo /opt/prism-edge/activate --settle",
    ),
    alone(
        replace(ORIN, installed=replace(SERVING, active="failed")),
        "service-down",
        "blocked",
        "0.1.0-aaaaaaaa is there and its service is failed",
        "journalctl -u prism-edge.service",
    ),
    alone(
        replace(ORIN, installed=replace(SERVING, active=None)),
        "service-down",
        "blocked",
        "not installed",
        "restart",
    ),
    alone(
        replace(ORIN, installed=replace(SERVING, enabled=False)),
        "service-disabled",
        "warning",
        "boots",
        "$ sudo systemctl enable prism-edge.service",
    ),
    alone(
        replace(ORIN, jtop=Jtop(version="7.2.2", active=False)),
        "jtop-down",
        "note",
        "7.2.2 is installed and its service does not run",
        "jtop --install-service",
    ),
    alone(
        replace(ORIN, jtop=Jtop(version="7.2.2", active=True, service_version="4.3.2")),
        "jtop-mismatch",
        "note",
        "4.3.2, the package 7.2.2",
        "jetson-stats==7.2.2",
    ),
    alone(
        replace(ORIN, jtop=Jtop(version="7.2.2", active=True, member=False)),
        "jtop-group",
        "note",
        "nvidia is not in the group jtop",
        "can become root",
    ),
]


SECOND = replace(ORIN, board="edge-2")
OPEN = replace(CLUSTER, mesh=MeshSettings())
BETWEEN: list[tuple[str, Settings, Sequence[Facts], Severity, str]] = [
    ("no-mesh", OPEN, (ORIN, SECOND), "note", "in the open"),
    (
        "clocks-apart",
        CLUSTER,
        (but(ORIN, clock={"skew_s": -0.4}), but(SECOND, clock={"skew_s": 0.4})),
        "warning",
        "0.8 s apart",
    ),
    (
        "torch-differs",
        CLUSTER,
        (ORIN, but(SECOND, torch={"version": "2.13.0"})),
        "warning",
        "torch is 2.5 on edge-1, 2.13 on edge-2",
    ),
    (
        "versions-differ",
        CLUSTER,
        (replace(ORIN, installed=SERVING), but(SECOND, installed={"current": "0.2.0-cccccccc"})),
        "warning",
        "prism-edge is 0.1.0 on edge-1, 0.2.0 on edge-2",
    ),
]


def codes() -> set[str]:
    """Every code that the package can give."""
    sources = [path.read_text() for path in (PACKAGE / "deploy").rglob("*.py")]
    named = {found for text in sources for found in re.findall(r'code="([a-z0-9-]+)"', text)}
    return named | {"mode-other"}
