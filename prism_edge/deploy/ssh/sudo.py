"""How a login becomes root, and the command lines for it. A password is never part of one."""

from __future__ import annotations

import secrets
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field

from prism_edge.deploy.facts import Sudo
from prism_edge.deploy.runner import Done
from prism_edge.errors import ClusterError

# sbin is where half of what we ask is, and not on the path of a login that is not root's
_PATH = "PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin; export PATH; "
# sudo takes the first line of stdin for the password, or leaves it. Up to the mark nothing is ours.
_SKIP = 'while IFS= read -r line && [ "$line" != {mark} ]; do :; done; unset line; exec "$@"'
_RUN = 'exec "$@"'  # sudo is asked for sh only, as ASK does
_KILL_S = 5.0  # after which a command that ignores its end is killed
ASK = "id -u; sudo -n sh -c : 2>&1 >/dev/null && echo free"


@dataclass(frozen=True, slots=True, kw_only=True)
class Root:
    """``how`` the login becomes root, with ``password`` if that takes one."""

    how: Sudo
    password: str = field(default="", repr=False)


def line(command: str, root: Root | None, limit_s: float | None) -> tuple[str, bytes]:
    """What the login's shell gets for a line of ``sh``, and what goes before its stdin.

    ``limit_s``: the board itself kills the command after that, whatever became of us.
    """
    limit = ["timeout", f"--kill-after={_KILL_S:g}", f"{limit_s:g}"] if limit_s else []
    argv = [*limit, "sh", "-c", _PATH + command]
    if root is None or root.how == "root":
        return f"exec {shlex.join(argv)}", b""
    if root.how == "free":
        return f"exec {shlex.join(['sudo', '-n', '--', 'sh', '-c', _RUN, 'sh', *argv])}", b""
    mark = secrets.token_hex(16)
    skip = ["sh", "-c", _SKIP.format(mark=mark), "sh", *argv]
    words = shlex.join(["sudo", "-S", "-p", "", "--", *skip])
    return f"exec {words}", f"{root.password}\n{mark}\n".encode()


def become(
    where: str, ask: Callable[[str, bytes], Done], password: Callable[[], str] | None
) -> Root:
    """How this login becomes root; ``ask`` runs a plain line with a stdin.

    A password is tried once. Raises ``ClusterError`` where there is no way.
    """
    said = ask(ASK, b"").out.splitlines()
    if said[:1] == ["0"]:
        return Root(how="root")
    if said[-1:] == ["free"]:
        return Root(how="free")
    why = said[-1] if len(said) > 1 else "it says nothing"
    if "password" not in why:
        raise ClusterError(f"{where}: this needs root, and sudo refuses: {why}; {_REMEDY}")
    if password is None:
        raise ClusterError(f"{where}: this needs root, and sudo wants a password; {_REMEDY}")
    given = password()
    tried = ask("sudo -S -p '' sh -c :", f"{given}\n".encode())
    if tried.code:
        words = [w for w in tried.err.splitlines() if w.startswith("sudo:") or "Sorry" in w]
        if any("incorrect password" in w or "Sorry" in w or "no password" in w for w in words):
            raise ClusterError(
                f"{where}: sudo does not take this password; tried once, not again; give the one "
                f"of that user on the board (--ask-sudo or PRISM_EDGE_SUDO_PASSWORD)"
            )
        why = (words or tried.err.splitlines() or ["it says nothing"])[-1]
        raise ClusterError(f"{where}: this needs root, and sudo refuses: {why}; {_REMEDY}")
    return Root(how="password", password=given)


_REMEDY = (
    "log in as root by key, add --ask-sudo, or allow it on the board with a line "
    "`USER ALL=(ALL) NOPASSWD: ALL` (visudo -f /etc/sudoers.d/prism-edge)"
)
