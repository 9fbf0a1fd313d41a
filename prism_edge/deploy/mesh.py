"""The files of a mesh on one board: WireGuard's, when it starts, and who may talk to it.

No key is in them but public ones: a board's private key is made there and stays there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import IPv4Network

from prism_edge.deploy import paths
from prism_edge.deploy.sources import source
from prism_edge.mesh import MTU
from prism_edge.settings import Settings


def mesh_files(
    settings: Settings, board: str, keys: Mapping[str, str]
) -> dict[str, tuple[bytes, int]]:
    """Content and mode of every file of the mesh on ``board``, by path; there is a mesh.

    ``keys``: public keys by board. One without is no peer yet. Raises ``ClusterError`` when the
    files of deploy/ are not there.
    """
    mesh = settings.mesh
    return {
        paths.mesh_conf(mesh.interface): (mesh_conf(settings, board, keys).encode(), 0o600),
        paths.mesh_drop_in(mesh.interface): (source("mesh.conf").read_bytes(), 0o644),
        paths.MESH_NFT: (mesh_nft(mesh.subnet, mesh.interface).encode(), 0o644),
        paths.MESH_FIREWALL: (source("mesh-firewall.sh").read_bytes(), 0o755),
        paths.MESH_USERSPACE: (source("mesh-userspace.sh").read_bytes(), 0o755),
    }


def mesh_conf(settings: Settings, board: str, keys: Mapping[str, str]) -> str:
    """What wg-quick on ``board`` is configured by.

    A peer is let in with its own address only, so WireGuard vouches for who sent a packet. Boards
    reach each other directly, so nothing must be kept alive.
    """
    mesh = settings.mesh
    filtered = f"{paths.MESH_FIREWALL} %s %%i {mesh.subnet}"
    lines = [
        "# Made by `prism-edge deploy push`, which writes it anew.",
        "[Interface]",
        f"Address = {settings.data_address(board)}/{IPv4Network(mesh.subnet).prefixlen}",
        f"ListenPort = {mesh.port}",
        f"MTU = {MTU}",
        f"PreUp = {filtered % 'up'}",
        f"PostUp = wg set %i private-key {paths.MESH_KEY}",
        f"PostDown = {filtered % 'down'}",
    ]
    for peer in settings.boards:
        if peer.name == board or peer.name not in keys:
            continue
        host = f"[{peer.address}]" if ":" in peer.address else peer.address
        lines += [
            "",
            f"# {peer.name}",
            "[Peer]",
            f"PublicKey = {keys[peer.name]}",
            f"AllowedIPs = {settings.data_address(peer.name)}/32",
            f"Endpoint = {host}:{mesh.port}",
        ]
    return "\n".join(lines) + "\n"


def mesh_nft(subnet: str, interface: str) -> str:
    """The rules of mesh.nft for this mesh."""
    rules = source("mesh.nft").read_text(encoding="utf-8")
    for name, value in (("subnet", subnet), ("interface", f'"{interface}"')):
        rules, count = re.subn(rf"(?m)^define {name} = .*$", f"define {name} = {value}", rules)
        assert count == 1, name
    return rules
