"""Boards prove who they are by one authority; a good certificate is used again, others are not."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from cryptography import x509

from prism_edge.deploy.certificates import LIFE, RENEWED, Certificates, certificates
from prism_edge.errors import ClusterError
from prism_edge.mesh import MeshSettings
from prism_edge.settings import BoardSettings, Settings

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)
SETTINGS = Settings(
    name="c",
    leader="edge-1",
    profiles=Path("p"),
    boards=(
        BoardSettings(name="edge-1", address="127.0.0.1"),
        BoardSettings(name="edge-2", address="edge-2.local"),
    ),
    mesh=MeshSettings(subnet="10.99.0.0/24"),
)


def served(found: Certificates, board: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(found.boards[board][0])


def test_a_second_time_nothing_is_new(tmp_path: Path) -> None:
    first = certificates(SETTINGS, tmp_path, NOW)
    assert certificates(SETTINGS, tmp_path, NOW + LIFE - RENEWED - timedelta(hours=1)) == first


def test_a_certificate_names_all_that_its_board_may_be_asked_as(tmp_path: Path) -> None:
    found = certificates(SETTINGS, tmp_path, NOW)
    said = served(found, "edge-2").extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert said.value.get_values_for_type(x509.DNSName) == ["edge-2", "edge-2.local", "localhost"]
    assert said.value.get_values_for_type(x509.IPAddress) == [
        ipaddress.ip_address("10.99.0.2"),
        ipaddress.ip_address("127.0.0.1"),
    ]


def test_one_that_is_about_to_end_is_renewed_under_the_same_authority(tmp_path: Path) -> None:
    first = certificates(SETTINGS, tmp_path, NOW)
    later = NOW + LIFE - RENEWED + timedelta(hours=1)
    second = certificates(SETTINGS, tmp_path, later)
    assert second.authority == first.authority
    assert second.boards["edge-1"] != first.boards["edge-1"]
    assert served(second, "edge-1").not_valid_after_utc == later + LIFE


def test_a_board_with_another_address_gets_another_and_the_rest_keep_theirs(
    tmp_path: Path,
) -> None:
    first = certificates(SETTINGS, tmp_path, NOW)
    boards = (SETTINGS.boards[0], replace(SETTINGS.boards[1], address="10.0.0.2"))
    second = certificates(replace(SETTINGS, boards=boards), tmp_path, NOW)
    assert second.boards["edge-1"] == first.boards["edge-1"]
    assert second.boards["edge-2"] != first.boards["edge-2"]


def test_a_new_authority_signs_everything_anew(tmp_path: Path) -> None:
    first = certificates(SETTINGS, tmp_path, NOW)
    (tmp_path / "tls" / "authority.pem").unlink()
    second = certificates(SETTINGS, tmp_path, NOW)
    assert second.authority != first.authority
    authority = x509.load_pem_x509_certificate(second.authority)
    for board in ("edge-1", "edge-2"):
        served(second, board).verify_directly_issued_by(authority)


def test_keys_are_for_their_owner_only(tmp_path: Path) -> None:
    found = certificates(SETTINGS, tmp_path, NOW)
    directory = tmp_path / "tls"
    assert (directory / "authority.crt").read_bytes() == found.authority
    assert directory.stat().st_mode & 0o777 == 0o700
    modes = {path.name: path.stat().st_mode & 0o777 for path in directory.glob("*.pem")}
    assert modes == dict.fromkeys(("authority.pem", "board-edge-1.pem", "board-edge-2.pem"), 0o600)


@pytest.mark.parametrize("content", ["", "x", "-----BEGIN CERTIFICATE-----\n"])
def test_a_broken_authority_is_named_and_not_replaced_in_silence(
    content: str, tmp_path: Path
) -> None:
    certificates(SETTINGS, tmp_path, NOW)
    (tmp_path / "tls" / "authority.pem").write_text(content)
    with pytest.raises(ClusterError, match=r"/tls: .*new authority"):
        certificates(SETTINGS, tmp_path, NOW)


@pytest.mark.parametrize(("name", "fine"), [("127.0.0.1", True), ("localhost", True), ("x", False)])
def test_a_client_that_trusts_the_authority_is_sure_whom_it_talks_to(
    name: str, fine: bool, tmp_path: Path
) -> None:
    """A real handshake, as the standard library's OpenSSL sees it."""
    found = certificates(SETTINGS, tmp_path, datetime.now(timezone.utc))
    certificate, key = tmp_path / "crt", tmp_path / "key"
    certificate.write_bytes(found.boards["edge-1"][0])
    key.write_bytes(found.boards["edge-1"][1])
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, key)
    client = ssl.create_default_context(cadata=found.authority.decode())
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    ours, theirs = socket.socketpair()

    def serve() -> None:
        try:
            server.wrap_socket(theirs, server_side=True).close()
        except (OSError, ssl.SSLError):
            theirs.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        if fine:
            client.wrap_socket(ours, server_hostname=name).close()
        else:
            with pytest.raises(ssl.SSLCertVerificationError):
                client.wrap_socket(ours, server_hostname=name)
    finally:
        ours.close()
        thread.join()
