"""A login is what OpenSSH makes of the user's configuration."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from prism_edge.deploy.ssh.login import login, parse
from prism_edge.errors import ClusterError, SettingsError
from prism_edge.settings import BoardSettings

BOARD = BoardSettings(name="edge-1", address="10.0.0.1", ssh="nvidia@orin:2222")
SAID = """host orin
user nvidia
hostname 10.0.0.1
port 2222
identitiesonly yes
hashknownhosts yes
identityfile ~/.ssh/id_ed25519
identityfile /keys/my key
globalknownhostsfile /etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2
userknownhostsfile "/home/me/known hosts"
"""


def test_what_ssh_printed_is_read() -> None:
    found = parse(BOARD, SAID)
    assert (found.host, found.port, found.user) == ("10.0.0.1", 2222, "nvidia")
    assert found.known_as == "[10.0.0.1]:2222"
    assert found.identities == (Path.home() / ".ssh/id_ed25519", Path("/keys/my key"))
    assert [str(path) for path in found.known_hosts] == [
        *("/home/me/known hosts", "/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2")
    ]
    assert (found.only, found.hashed, found.agent, found.proxy) == (True, True, True, ())
    assert found.hand == "ssh -p 2222 nvidia@orin"
    assert found.where == "board edge-1 (nvidia@orin:2222)"


def test_at_port_22_a_key_is_filed_under_the_host_alone() -> None:
    assert parse(BOARD, SAID.replace("2222", "22")).known_as == "10.0.0.1"
    assert parse(BOARD, SAID + "hostkeyalias orin-1\n").known_as == "orin-1"


def test_no_known_hosts_and_no_agent() -> None:
    said = "hostname h\nport 22\nuserknownhostsfile none\nglobalknownhostsfile /dev/null\n"
    found = parse(BOARD, f"{said}identityagent none\n")
    assert (found.known_hosts, found.agent) == ((), False)


def test_a_jump_is_made_by_ssh_itself_and_as_strictly() -> None:
    board = replace(BOARD, ssh_config=Path("/x/config"))
    *argv, where, gate = parse(board, SAID + "proxyjump a@b:23,c@gate:24\n").proxy
    assert (argv[:3], argv[-3:]) == (["ssh", "-F", "/x/config"], ["-J", "a@b:23", "-W"])
    assert (where, gate) == ("[10.0.0.1]:2222", "ssh://c@gate:24")
    assert {"-oBatchMode=yes", "-oStrictHostKeyChecking=yes"} < set(argv)
    assert parse(BOARD, SAID + "proxyjump ssh://gate\n").proxy[-1] == "ssh://gate"


def test_a_proxy_command_has_its_tokens_replaced() -> None:
    found = parse(BOARD, SAID + "proxycommand nc -X 5%% %h %p # %r %z\n")
    assert found.proxy == ("sh", "-c", "exec nc -X 5% 10.0.0.1 2222 # nvidia %z")
    assert parse(BOARD, SAID + "proxycommand none\n").proxy == ()


def test_a_board_without_ssh_is_told_what_to_write() -> None:
    with pytest.raises(SettingsError, match=r'board edge-1: .* write ssh = "user@10.0.0.1"'):
        login(replace(BOARD, ssh=""))


def test_without_openssh_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ClusterError, match="board edge-1: no program 'ssh' here; install"):
        login(BOARD)


@pytest.mark.ssh
def test_a_host_of_the_users_configuration_is_found(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text("Host orin\n HostName 10.9.8.7\n User me\n Port 24\n IdentityFile /k\n")
    found = login(replace(BOARD, ssh="orin", ssh_config=config))
    assert (found.host, found.user, found.port) == ("10.9.8.7", "me", 24)
    assert found.identities == (Path("/k"),)


@pytest.mark.ssh
def test_a_broken_configuration_is_quoted(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text("Hots orin\n")
    with pytest.raises(ClusterError, match=r"board edge-1 .*does not take.*1 bad config"):
        login(replace(BOARD, ssh_config=config))
