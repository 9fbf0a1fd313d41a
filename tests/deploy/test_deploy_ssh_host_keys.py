"""What is known of a host's key is what OpenSSH finds in its files."""

from __future__ import annotations

import subprocess
from pathlib import Path

import paramiko
import pytest
from sshd import new_key

from prism_edge.deploy.ssh.host_keys import Known, check, fingerprint, known, parse
from prism_edge.deploy.ssh.login import Login
from prism_edge.errors import ClusterError

pytestmark = pytest.mark.ssh  # ssh-keygen
FILE = Path("/home/me/.ssh/known_hosts")
SAID = """# Host 10.0.0.1 found: line 3
10.0.0.1 ssh-ed25519 AAAA1
# Host 10.0.0.1 found: line 7 REVOKED
@revoked * ssh-rsa AAAA2
# Host 10.0.0.1 found: line 8 CA
@cert-authority 10.* ssh-rsa AAAA3
"""


def login(*files: Path, hashed: bool = False) -> Login:
    return Login(
        board="edge-1",
        target="u@h",
        hand="ssh u@h",
        host="10.0.0.1",
        port=2222,
        user="u",
        known_as="[10.0.0.1]:2222",
        known_hosts=files,
        hashed=hashed,
    )


def test_what_ssh_keygen_printed_is_read() -> None:
    assert parse(SAID, FILE) == (
        Known(file=FILE, line=3, kind="ssh-ed25519", key="AAAA1"),
        Known(file=FILE, line=7, kind="ssh-rsa", key="AAAA2", revoked=True),
    )
    assert parse("", FILE) == ()


@pytest.fixture
def key(tmp_path: Path) -> paramiko.PKey:
    new_key(tmp_path / "key")
    return paramiko.PKey.from_path(tmp_path / "key")


def test_a_fingerprint_is_the_one_that_ssh_keygen_shows(tmp_path: Path, key: paramiko.PKey) -> None:
    argv = ["ssh-keygen", "-lf", str(tmp_path / "key.pub")]
    shown = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    assert fingerprint(key.asbytes()) in shown.split()


@pytest.mark.parametrize("hashed", [False, True])
def test_an_unknown_key_is_refused_until_it_is_accepted(
    tmp_path: Path, key: paramiko.PKey, hashed: bool
) -> None:
    file = tmp_path / "new folder" / "known_hosts"
    mine = login(file, hashed=hashed)
    with pytest.raises(ClusterError) as refused:
        check(mine, known(mine), key, accept_new=False)
    for words in ("not known here, SHA256:", "log in once by `ssh u@h`", "--accept-new"):
        assert words in str(refused.value)
    assert not file.exists()
    check(mine, known(mine), key, accept_new=True)
    assert ("10.0.0.1" in file.read_text()) != hashed
    check(mine, known(mine), key, accept_new=False)
    assert len(known(mine)) == 1


def test_a_changed_key_is_refused_whatever_was_allowed(tmp_path: Path, key: paramiko.PKey) -> None:
    file = tmp_path / "known_hosts"
    other = new_key(tmp_path / "other")
    file.write_text(f"# mine\n10.0.0.9 {other}\n[10.0.0.1]:2222 {other}")
    mine = login(file)
    with pytest.raises(ClusterError) as refused:
        check(mine, known(mine), key, accept_new=True)
    old = fingerprint(paramiko.PKey.from_path(tmp_path / "other").asbytes())
    new = fingerprint(key.asbytes())
    assert f"another one than before, {new} and not {old} in {file}, line 3" in str(refused.value)
    assert f"ssh-keygen -f {file} -R '[10.0.0.1]:2222'" in str(refused.value)


def test_a_second_key_of_the_same_board_is_known_too(tmp_path: Path, key: paramiko.PKey) -> None:
    file = tmp_path / "known_hosts"
    other = new_key(tmp_path / "other")
    mine = (tmp_path / "key.pub").read_text().strip()
    file.write_text(f"[10.0.0.1]:2222 {other}\n[10.*]:2222 {mine}\n")
    check(login(file), known(login(file)), key, accept_new=False)


def test_a_revoked_key_is_refused(tmp_path: Path, key: paramiko.PKey) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(f"@revoked * {(tmp_path / 'key.pub').read_text()}")
    with pytest.raises(ClusterError, match="is marked as revoked here"):
        check(login(file), known(login(file)), key, accept_new=True)


def test_a_line_without_an_end_is_not_added_to(tmp_path: Path, key: paramiko.PKey) -> None:
    file = tmp_path / "known_hosts"
    file.write_text("other ssh-ed25519 AAAA")
    check(login(file), known(login(file)), key, accept_new=True)
    assert file.read_text().startswith("other ssh-ed25519 AAAA\n[10.0.0.1]:2222 ssh-ed25519 ")


def test_without_a_file_nothing_can_be_remembered(key: paramiko.PKey) -> None:
    with pytest.raises(ClusterError, match="cannot be remembered"):
        check(login(), (), key, accept_new=True)
