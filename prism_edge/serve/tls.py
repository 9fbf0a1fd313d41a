"""HTTPS between daemons, and from users to them: both ends' certificates, checked before use."""

from __future__ import annotations

import ssl
from pathlib import Path

from prism_edge.errors import SettingsError


def check_certificate(certificate: Path, key: Path) -> None:
    """The pair can be served with, and only its owner can read the key; else ``SettingsError``."""
    try:
        mode = key.stat().st_mode & 0o077
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
    except ssl.SSLError as error:
        raise SettingsError(
            f"certificate {certificate} with key {key}: {error.reason or error}; are both PEM "
            f"files, without a password, and made for each other?"
        ) from error
    except OSError as error:
        raise SettingsError(
            f"certificate {certificate} with key {key}: {error.strerror or error}"
        ) from error
    if mode:
        raise SettingsError(f"certificate key {key} is readable by others; chmod 600 {key}")


def trusting(authority: Path | None) -> ssl.SSLContext:
    """A client that trusts servers of ``authority`` alone; None: those the system trusts."""
    try:
        return ssl.create_default_context(cafile=authority)
    except (ssl.SSLError, OSError) as error:
        raise SettingsError(
            f"authority {authority}: {error.strerror or error}; expected a PEM file with the "
            f"certificate of who signs those of the boards"
        ) from error
