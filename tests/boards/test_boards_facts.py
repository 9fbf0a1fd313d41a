"""Facts of real systemd boards, asked through SSH by a login whose sudo wants a password."""

from __future__ import annotations

import pytest

from boards.desk import Desk
from boards.l4t import MODEL, become_jetson
from boards.machine import Board
from boards.rootfs import PASSWORD, USER
from prism_edge.deploy.facts import Facts
from prism_edge.deploy.gather import gather
from prism_edge.deploy.hosts import connect

pytestmark = [pytest.mark.boards, pytest.mark.timeout(300)]  # the root file system may be made

RELEASES = "/opt/prism-edge/releases"


def ask(board: Board, *files: str, password: str | None = PASSWORD) -> Facts:
    with connect(board.settings(USER), password=(lambda: password) if password else None) as runner:
        return gather(runner, files)


def test_a_board_as_it_comes(desk: Desk) -> None:
    board = desk.boards[0]
    facts = ask(board, "/etc/passwd", "/etc/shadow")
    assert (facts.identity.hostname, facts.identity.model) == ("edge-1", None)
    assert (facts.user.name, facts.user.sudo, facts.user.no_root) == (USER, "password", None)
    assert {each.name: each.kind for each in facts.network.interfaces} == {
        "lo": "loopback",
        "eth0": "ethernet",
    }
    assert facts.network.interfaces[1].addresses[0] == f"{board.address}/24"
    assert facts.network.own_name == (board.address,)
    assert facts.network.wireguard in ("kernel", "userspace")
    assert (facts.network.firewall, facts.network.firewall_active) == ("nft", False)
    assert facts.torch.error == "ModuleNotFoundError: No module named 'torch'"
    assert set(facts.installed.files) == {"/etc/passwd", "/etc/shadow"}
    assert facts.installed.current is None
    assert facts.installed.active is None
    assert facts.clock.skew_s is not None
    assert facts.clock.bound_s is not None
    assert abs(facts.clock.skew_s) <= facts.clock.bound_s  # one kernel, one clock


@pytest.mark.parametrize("password", [None, "wrong"])
def test_without_root_the_rest_is_known(desk: Desk, password: str | None) -> None:
    facts = ask(desk.boards[0], "/etc/passwd", "/etc/shadow", password=password)
    assert facts.user.sudo == "password"
    assert facts.user.no_root is not None
    assert "edge-1" in facts.user.no_root
    assert "password" in facts.user.no_root
    assert (facts.network.firewall, facts.network.firewall_active) == (None, None)
    assert set(facts.installed.files) == {"/etc/passwd"}
    assert facts.storage.free_bytes is not None


def test_what_was_made_is_found(desk: Desk) -> None:
    board = desk.boards[1]
    board.sh(
        f"mkdir -p {RELEASES}/1-a/etc {RELEASES}/2-b {RELEASES}/.making-3-c"
        f' && echo \'{{"id":\n"1-a"}}\' >{RELEASES}/1-a/release.json'
        f" && touch -d '1 hour ago' {RELEASES}/1-a && cd /opt/prism-edge"
        " && ln -s releases/2-b current && ln -s releases/1-a previous && echo '2-b 1-a -' >pending"
        " && mkdir wheels && echo x >wheels/x-1-py3-none-any.whl"
        " && mkdir -p /var/lib/prism-edge/profiles/desk /var/lib/prism-edge/models/vit-0123"
        " && echo y >'/var/lib/prism-edge/profiles/desk/two words.csv'"
        " && useradd --system --groups video prism-edge"
        " && nft add table inet t"
        " && nft add chain inet t c '{ type filter hook input priority 0; policy drop; }'"
        " && nft add rule inet t c accept"
    )
    facts = ask(board)
    there = facts.installed
    assert there.releases == ("1-a", "2-b")
    assert there.manifests == {"1-a": {"id": "1-a"}}
    assert (there.current, there.previous, there.pending) == ("2-b", "1-a", "2-b")
    assert list(there.wheels) == ["x-1-py3-none-any.whl"]
    assert list(there.profiles) == ["desk/two words.csv"]
    assert there.models == ("vit-0123",)
    assert there.user
    assert "video" in there.groups
    assert facts.network.firewall_active


def test_a_mesh_is_active_as_long_as_its_interface_is_there(desk: Desk) -> None:
    board = desk.boards[1]
    key = board.sh(
        "mkdir -p /etc/prism-edge /etc/wireguard /etc/systemd/system/wg-quick@prism7.service.d"
        " && cd /etc/prism-edge && wg genkey >mesh.key && wg pubkey <mesh.key | tee mesh.pub"
        " && echo '[Unit]' >/etc/systemd/system/wg-quick@prism7.service.d/prism-edge.conf"
        " && printf '[Interface]\\nAddress = 10.97.0.1/24\\nPrivateKey = %s\\n' $(cat mesh.key)"
        " >/etc/wireguard/prism7.conf"
    ).strip()
    assert not ask(board).installed.mesh_active
    board.sh("systemctl daemon-reload && systemctl start wg-quick@prism7")
    facts = ask(board)
    assert (facts.installed.mesh_key, facts.installed.mesh_active) == (key, True)
    tunnel = facts.network.interfaces[-1]
    assert (tunnel.name, tunnel.kind, tunnel.up) == ("prism7", "wireguard", True)
    assert tunnel.addresses[0] == "10.97.0.1/24"
    board.sh("ip link delete prism7")
    assert not ask(board).installed.mesh_active


def test_a_jetson_as_far_as_files_go(desk: Desk) -> None:
    board = desk.boards[0]
    board.power_off()
    become_jetson(board, mode=2, default=1)
    board.power_on()
    board.booted()
    facts = ask(board)
    assert facts.identity.model == MODEL
    assert (facts.identity.l4t, facts.identity.jetpack) == ("36.4.3", "6.2")
    assert (facts.power.current, facts.power.default) == ("MAXN_SUPER", "25W")
