"""WireGuard between the boards of a lab, as steps: pure. The first makes a board its key pair."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Network
from pathlib import Path

from prism_edge.cluster import network
from prism_edge.cluster.processes import MARKER
from prism_edge.cluster.state import BoardState, LabState
from prism_edge.cluster.step import Step
from prism_edge.mesh import MTU, MeshSettings

MESH = MeshSettings(subnet="10.99.0.0/24")
_KEYS = 'umask 077; wg genkey | tee "$1" | wg pubkey'
# wireguard-go listens in one place of the file system, whatever the network namespace: each has its
# own /var/run, which could hide the file of the key, so that is open before.
_START = """\
exec <"$1"; interface=$2 address=$3 mtu=$4; shift 4
if ! ip link add "$interface" type wireguard 2>/dev/null; then
    mount -t tmpfs prism-edge /var/run
    setsid wireguard-go "$interface"
    until wg show "$interface" >/dev/null 2>&1; do sleep 0.1; done
fi
wg set "$interface" private-key /dev/stdin "$@"
ip addr add "$address" dev "$interface"
ip link set dev "$interface" mtu "$mtu" up"""


def keys_step(board: BoardState, directory: Path) -> Step:
    """The board has a private key in the lab's directory; the public one is printed."""
    argv = ("sh", "-ec", _KEYS, "sh", str(_key(board, directory)))
    return Step(argv=argv, why=f"{board.name}: keys")


def tunnel_step(
    state: LabState,
    board: BoardState,
    directory: Path,
    pids: Mapping[str, str],
    keys: Mapping[str, str],
) -> Step:
    """The board has an address on the mesh; what is sent to another's goes through WireGuard.

    ``keys``: the public ones by board. A tunnel that is a process is pinned to the board's core.
    """
    wanted = ["listen-port", str(MESH.port)]
    for index, peer in enumerate(state.boards):
        if peer is board:
            address = f"{MESH.address(index)}/{IPv4Network(MESH.subnet).prefixlen}"
            continue
        wanted += ["peer", keys[peer.name], "allowed-ips", f"{MESH.address(index)}/32"]
        wanted += ["endpoint", f"{peer.address}:{MESH.port}"]
    return Step(
        argv=(
            *("env", f"{MARKER}={network.marker_of(state, board.name)}"),
            *network.enter(state.mode, pids[board.name]),
            *("taskset", "--cpu-list", str(board.core), "unshare", "--mount"),
            *("sh", "-ec", _START, "sh", str(_key(board, directory)), MESH.interface),
            *(address, str(MTU), *wanted),
        ),
        why=f"{board.name}: WireGuard",
    )


def key_names(state: LabState) -> dict[str, str]:
    """Names such as $KEY_OF_EDGE_1 for public keys that do not exist yet."""
    return {b.name: "$KEY_OF_" + b.name.upper().replace("-", "_") for b in state.boards}


def _key(board: BoardState, directory: Path) -> Path:
    return directory / f"{board.name}.key"
