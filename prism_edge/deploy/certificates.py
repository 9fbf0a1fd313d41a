"""Every board has a certificate of one authority, whose key is kept here and nowhere else.

A certificate is used again as long as it says what it should and is not about to end, so that a
second deployment has nothing to do.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization as form
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from prism_edge.errors import ClusterError
from prism_edge.settings import BoardSettings, Settings

AUTHORITY_LIFE = timedelta(days=3650)
LIFE = timedelta(days=397)  # the longest that common clients take
RENEWED = timedelta(days=30)  # before its end
BEHIND = timedelta(days=1)  # a board's clock may be, without a battery


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificates:
    """PEM. ``boards``: certificate and private key of each, by name."""

    authority: bytes
    boards: Mapping[str, tuple[bytes, bytes]]


def certificates(settings: Settings, state: Path, now: datetime) -> Certificates:
    """The certificates of a cluster's boards at ``now`` (with a time zone), made where needed.

    They lie in ``state``/tls, with ``authority.crt`` for users of the daemons. Raises
    ``ClusterError`` when that cannot be written or read.
    """
    directory = state / "tls"
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        authority = _authority(directory, settings.name, now)
        pairs = {
            board.name: _pair(directory, authority, board, settings, now)
            for board in settings.boards
        }
        public = directory / "authority.crt"
        if not public.exists() or public.read_bytes() != _pem(authority[0]):
            public.write_bytes(_pem(authority[0]))
        return Certificates(authority=_pem(authority[0]), boards=pairs)
    except (OSError, ValueError, TypeError) as error:
        raise ClusterError(
            f"certificates in {directory}: {error}; delete that directory for a new authority, "
            f"and deploy to all boards"
        ) from error


def names(board: BoardSettings, settings: Settings) -> list[str]:
    """All that the board may be asked as."""
    wanted = [board.name, board.address, settings.data_address(board.name), "localhost"]
    return list(dict.fromkeys([*wanted, "127.0.0.1"]))


def _authority(
    directory: Path, cluster: str, now: datetime
) -> tuple[x509.Certificate, EllipticCurvePrivateKey]:
    found = _read(directory / "authority")
    if found is not None and now < found[0].not_valid_after_utc - LIFE:
        return found
    key = _new_key()
    subject = _name(f"prism-edge {cluster}")
    made = (
        _builder(subject, subject, key, now, AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
    )
    return _write(directory / "authority", made, key, key)


def _pair(
    directory: Path,
    authority: tuple[x509.Certificate, EllipticCurvePrivateKey],
    board: BoardSettings,
    settings: Settings,
    now: datetime,
) -> tuple[bytes, bytes]:
    wanted = x509.SubjectAlternativeName([_alternative(name) for name in names(board, settings)])
    found = _read(directory / f"board-{board.name}")
    if found is None or not _good(found[0], authority[0], wanted, now):
        key = _new_key()
        issuer, signs = authority
        made = (
            _builder(_name(board.name), issuer.subject, key, now, LIFE)
            .add_extension(wanted, critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(signs.public_key()),
                critical=False,
            )
        )
        found = _write(directory / f"board-{board.name}", made, key, signs)
    return _pem(found[0]), _key_pem(found[1])


def _good(
    certificate: x509.Certificate,
    authority: x509.Certificate,
    wanted: x509.SubjectAlternativeName,
    now: datetime,
) -> bool:
    """Whether it can be used again."""
    try:
        certificate.verify_directly_issued_by(authority)
        said = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False
    return said == wanted and now < certificate.not_valid_after_utc - RENEWED


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:64])])


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: EllipticCurvePrivateKey,
    now: datetime,
    life: timedelta,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BEHIND)
        .not_valid_after(now + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _new_key() -> EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(form.Encoding.PEM)


def _key_pem(key: EllipticCurvePrivateKey) -> bytes:
    plain = form.NoEncryption()
    return key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, plain)


def _write(
    stem: Path,
    builder: x509.CertificateBuilder,
    key: EllipticCurvePrivateKey,
    signs: EllipticCurvePrivateKey,
) -> tuple[x509.Certificate, EllipticCurvePrivateKey]:
    """The signed certificate, on disk with its key as one file: both or neither."""
    made = builder.sign(signs, SHA256())
    part = stem.with_name(f".{stem.name}.part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(_pem(made) + _key_pem(key))
    part.replace(stem.with_name(f"{stem.name}.pem"))
    return made, key


def _read(stem: Path) -> tuple[x509.Certificate, EllipticCurvePrivateKey] | None:
    path = stem.with_name(f"{stem.name}.pem")
    if not path.exists():
        return None
    content = path.read_bytes()
    key = form.load_pem_private_key(content, None)
    if not isinstance(key, EllipticCurvePrivateKey):
        raise ValueError(f"{path.name} holds no key of ours")
    return x509.load_pem_x509_certificate(content), key
