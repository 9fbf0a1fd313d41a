"""A board's mesh: its own address, its peers with theirs, no secret, and nothing from the LAN."""

from __future__ import annotations

from pathlib import Path

from prism_edge.deploy import paths
from prism_edge.deploy.mesh import mesh_conf, mesh_files, mesh_nft
from prism_edge.mesh import MeshSettings
from prism_edge.settings import BoardSettings, Settings

SETTINGS = Settings(
    name="c",
    leader="edge-2",
    profiles=Path("p"),
    boards=(
        BoardSettings(name="edge-1", address="10.0.0.11"),
        BoardSettings(name="edge-2", address="fd00::12"),
        BoardSettings(name="edge-3", address="10.0.0.13"),
    ),
    mesh=MeshSettings(subnet="10.99.0.0/28", interface="wg-p", port=4242),
)
KEYS = {"edge-1": "ONE=", "edge-2": "TWO="}
EDGE_1 = """\
# Made by `prism-edge deploy push`, which writes it anew.
[Interface]
Address = 10.99.0.1/28
ListenPort = 4242
MTU = 1420
PreUp = /etc/prism-edge/mesh-firewall up %i 10.99.0.0/28
PostUp = wg set %i private-key /etc/prism-edge/mesh.key
PostDown = /etc/prism-edge/mesh-firewall down %i 10.99.0.0/28

# edge-2
[Peer]
PublicKey = TWO=
AllowedIPs = 10.99.0.2/32
Endpoint = [fd00::12]:4242
"""


def test_a_board_knows_its_peers_and_one_without_a_key_is_none_yet() -> None:
    assert mesh_conf(SETTINGS, "edge-1", KEYS) == EDGE_1


def test_on_every_board_the_others_have_the_addresses_that_engines_bind_to() -> None:
    for board in SETTINGS.boards:
        said = mesh_conf(SETTINGS, board.name, {**KEYS, "edge-3": "THREE="})
        assert f"Address = {SETTINGS.data_address(board.name)}/28" in said
        peers = [line.split(" = ")[1] for line in said.splitlines() if "AllowedIPs" in line]
        others = [other.name for other in SETTINGS.boards if other is not board]
        assert peers == [f"{SETTINGS.data_address(name)}/32" for name in others]


def test_every_file_has_its_place_and_its_mode() -> None:
    files = mesh_files(SETTINGS, "edge-1", KEYS)
    assert {path: mode for path, (_, mode) in files.items()} == {
        "/etc/wireguard/wg-p.conf": 0o600,
        "/etc/systemd/system/wg-quick@wg-p.service.d/prism-edge.conf": 0o644,
        paths.MESH_NFT: 0o644,
        paths.MESH_FIREWALL: 0o755,
        paths.MESH_USERSPACE: 0o755,
    }
    assert files == mesh_files(SETTINGS, "edge-1", KEYS)


def test_the_filter_is_for_this_mesh() -> None:
    rules = mesh_nft("10.99.0.0/28", "wg-p")
    assert "define subnet = 10.99.0.0/28\n" in rules
    assert 'define interface = "wg-p"\n' in rules
    assert "comment" not in rules.split("define", 1)[1]
    assert " ct " not in rules  # L4T kernels lack both
