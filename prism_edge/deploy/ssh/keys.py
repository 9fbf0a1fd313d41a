"""The user is let in by a key of the agent or a file, as OpenSSH would try them; nothing asks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import paramiko
from paramiko.pkey import PublicBlob

from prism_edge.cluster.ssh_faults import refused
from prism_edge.deploy.ssh.login import Login


def authenticate(transport: paramiko.Transport, login: Login) -> None:
    """The transport is logged in. Raises ``ClusterError`` when no key is taken."""
    locked: list[str] = []
    tried = 0
    try:
        for key in _keys(login, locked):
            tried += 1
            try:
                left = transport.auth_publickey(login.user, key)
            except paramiko.BadAuthenticationType as error:
                allowed = ", ".join(error.allowed_types)
                raise _refused(login, f"it lets nobody in by key, only by {allowed}") from error
            except paramiko.AuthenticationException:
                if not transport.is_active():
                    break
                continue
            if left:
                raise _refused(login, f"it wants more than a key: {', '.join(left)}")
            return
    except (paramiko.SSHException, EOFError, OSError):
        pass  # it hangs up after too many keys
    asked = f"Permission denied for user {login.user}, {tried} keys tried"
    if locked:
        asked += f", and {', '.join(locked)} not: it has a passphrase, or wants the agent anyway"
    raise _refused(login, asked)


def _refused(login: Login, why: str) -> Exception:
    return refused(login.where, why, f"`{login.hand}`")


def _keys(login: Login, locked: list[str]) -> Iterator[paramiko.PKey]:
    """The keys to offer: those of the configuration first. ``locked`` gains what needs a word."""
    held = {key.asbytes(): key for key in paramiko.Agent().get_keys()} if login.agent else {}
    for path in login.identities:
        public = _public(path)
        if public in held:
            yield held.pop(public)
            continue
        if path.is_file():
            key = _read(path)
            if key is None:
                locked.append(str(path))
            elif key.asbytes() in held:
                yield held.pop(key.asbytes())
            else:
                yield key
    if not login.only:
        yield from held.values()


def _public(path: Path) -> bytes | None:
    try:
        return PublicBlob.from_file(f"{path}.pub").key_blob
    except (OSError, ValueError):
        return None


def _read(path: Path) -> paramiko.PKey | None:
    try:
        return paramiko.PKey.from_path(path)
    except (OSError, ValueError, TypeError, paramiko.SSHException):
        return None
