"""Where a login goes and what it may use, as OpenSSH itself reads the user's configuration."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from prism_edge.cluster.ssh import login as by_hand
from prism_edge.cluster.ssh_faults import last_line
from prism_edge.errors import ClusterError, SettingsError
from prism_edge.settings import BoardSettings

_STRICT = ("-oBatchMode=yes", "-oStrictHostKeyChecking=yes", "-oControlPath=none")
_ALIVE = ("-oConnectTimeout=10", "-oServerAliveInterval=5", "-oServerAliveCountMax=3")


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """One board's. ``known_as``: what its key is filed under. ``known_hosts``: files, the first of
    which is added to; ``hashed``: without names. ``proxy``: the command that carries the
    connection, none if empty. ``only``: no key of the agent but the ``identities``. ``hand``: what
    to type to log in there."""

    board: str
    target: str
    hand: str
    host: str
    port: int
    user: str
    known_as: str
    known_hosts: tuple[Path, ...] = ()
    hashed: bool = False
    identities: tuple[Path, ...] = ()
    only: bool = False
    agent: bool = True
    proxy: tuple[str, ...] = ()

    @property
    def where(self) -> str:
        """For messages."""
        return f"board {self.board} ({self.target})"


def login(board: BoardSettings) -> Login:
    """How to reach the board; raises ``SettingsError`` when cluster.toml does not say."""
    if not board.ssh:
        raise SettingsError(
            f"board {board.name}: cluster.toml does not say how to log in there; "
            f'write ssh = "user@{board.address}" below its [[boards]]'
        )
    hand = by_hand(board.ssh, board.ssh_config)
    try:
        done = subprocess.run(
            [hand[0], "-G", *hand[1:]], capture_output=True, text=True, timeout=30, check=False
        )
    except FileNotFoundError as error:
        raise ClusterError(
            f"board {board.name}: no program 'ssh' here; install the OpenSSH client "
            f"(openssh-client)"
        ) from error
    if done.returncode:
        raise ClusterError(
            f"board {board.name} ({board.ssh}): ssh does not take its configuration: "
            f"{last_line(done.stderr)}; try `{shlex.join(hand)}`"
        )
    return parse(board, done.stdout)


def parse(board: BoardSettings, said: str) -> Login:
    """What ``ssh -G`` printed, as a login. Pure."""
    found: dict[str, list[str]] = {}
    for line in said.splitlines():
        key, _, value = line.partition(" ")
        found.setdefault(key, []).append(value)

    def one(key: str) -> str:
        return found.get(key, [""])[0]

    def files(key: str) -> list[Path]:
        names = [name for value in found.get(key, []) for name in shlex.split(value)]
        return [Path(name).expanduser() for name in names if name not in ("none", "/dev/null")]

    host, port = one("hostname"), int(one("port") or 22)
    alias = one("hostkeyalias")
    return Login(
        board=board.name,
        target=board.ssh,
        hand=shlex.join(by_hand(board.ssh, board.ssh_config)),
        host=host,
        port=port,
        user=one("user"),
        known_as=alias or (host if port == 22 else f"[{host}]:{port}"),
        known_hosts=(*files("userknownhostsfile"), *files("globalknownhostsfile")),
        hashed=one("hashknownhosts") == "yes",
        identities=tuple(Path(name).expanduser() for name in found.get("identityfile", [])),
        only=one("identitiesonly") == "yes",
        agent=one("identityagent") != "none",
        proxy=_proxy(board, one("proxyjump"), one("proxycommand"), host, port, one("user")),
    )


def _proxy(
    board: BoardSettings, jump: str, command: str, host: str, port: int, user: str
) -> tuple[str, ...]:
    """The command line whose stdin and stdout are the connection."""
    config: Sequence[str] = ("-F", str(board.ssh_config)) if board.ssh_config else ()
    if jump and jump != "none":
        *before, last = jump.split(",")
        via = ("-J", ",".join(before)) if before else ()
        gate = last if last.startswith("ssh://") else f"ssh://{last}"
        return ("ssh", *config, *_STRICT, *_ALIVE, *via, "-W", f"[{host}]:{port}", gate)
    if command and command != "none":
        known = {"%h": host, "%p": str(port), "%r": user, "%n": host, "%%": "%"}
        words, rest = "", command
        while rest:
            token = rest[:2] if rest[:2] in known else rest[0]
            words, rest = words + known.get(token, token), rest[len(token) :]
        return ("sh", "-c", f"exec {words}")
    return ()
