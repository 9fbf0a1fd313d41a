"""The board is the one it was before: its host key is compared with what OpenSSH knows here.

An unknown key is refused unless the user says otherwise, a changed one always.
"""

from __future__ import annotations

import base64
import hashlib
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import paramiko

from prism_edge.cluster.ssh_faults import changed_key, unknown_key
from prism_edge.deploy.ssh.login import Login
from prism_edge.errors import ClusterError

_FOUND = re.compile(r"# Host .* found: line (\d+)(?: (CA|REVOKED))?\s*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """One line of a known_hosts file that speaks of a host."""

    file: Path
    line: int
    kind: str
    key: str  # base64
    revoked: bool = False


def known(login: Login) -> tuple[Known, ...]:
    """What is known of the host's keys: names, patterns and hashed names alike."""
    found: list[Known] = []
    for file in login.known_hosts:
        if file.is_file():
            argv = ["ssh-keygen", "-F", login.known_as, "-f", str(file)]
            done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
            found.extend(parse(done.stdout, file))
    return tuple(found)


def parse(said: str, file: Path) -> tuple[Known, ...]:
    """What ``ssh-keygen -F`` printed of a file. Pure; keys of authorities are left out."""
    lines, found = iter(said.splitlines()), []
    for head in lines:
        match = _FOUND.fullmatch(head)
        if match is None or match[2] == "CA":
            continue
        words = next(lines, "").split()
        words = words[1:] if words and words[0].startswith("@") else words
        if len(words) >= 3:
            number, revoked = int(match[1]), match[2] == "REVOKED"
            found.append(
                Known(file=file, line=number, kind=words[1], key=words[2], revoked=revoked)
            )
    return tuple(found)


def fingerprint(key: bytes) -> str:
    """As OpenSSH shows it."""
    digest = base64.b64encode(hashlib.sha256(key).digest()).decode().rstrip("=")
    return f"SHA256:{digest}"


def check(login: Login, entries: tuple[Known, ...], key: paramiko.PKey, accept_new: bool) -> None:
    """The key is the known one, or was new and is known now. Otherwise raises ``ClusterError``."""
    shown, text = fingerprint(key.asbytes()), key.get_base64()
    if any(entry.revoked and entry.key == text for entry in entries):
        raise ClusterError(f"{login.where}: its host key {shown} is marked as revoked here")
    trusted = [entry for entry in entries if not entry.revoked]
    if any(entry.key == text for entry in trusted):
        return
    if trusted:
        # the same kind of key if there is one, for that is the one that was replaced
        old = min(trusted, key=lambda entry: entry.kind != key.get_name())
        before = f"{fingerprint(base64.b64decode(old.key))} in {old.file}, line {old.line}"
        remove = f"ssh-keygen -f {old.file} -R '{login.known_as}'"
        raise changed_key(login.where, f", {shown} and not {before}", remove)
    if not accept_new:
        raise unknown_key(login.where, f", {shown}", f"`{login.hand}`, or add --accept-new")
    remember(login, key)


def remember(login: Login, key: paramiko.PKey) -> None:
    """The key is in the user's known_hosts."""
    if not login.known_hosts:
        raise ClusterError(
            f"{login.where}: its host key cannot be remembered: UserKnownHostsFile names no file"
        )
    file, name = login.known_hosts[0], login.known_as
    name = paramiko.HostKeys.hash_host(name) if login.hashed else name
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        held = file.read_bytes() if file.exists() else b""
        start = "" if held.endswith(b"\n") or not held else "\n"
        with file.open("a") as stream:  # one write, so that boards do not mix their lines
            stream.write(f"{start}{name} {key.get_name()} {key.get_base64()}\n")
    except OSError as error:
        raise ClusterError(f"{file} cannot be written: {error.strerror}") from error
