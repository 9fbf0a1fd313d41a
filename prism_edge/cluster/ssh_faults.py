"""Why SSH did not get through: its own words as an error with what, where and what next. Pure."""

from __future__ import annotations

import re

from prism_edge.errors import ClusterError, UnreachableError

FAILED = 255  # the exit code that is ssh's own and not the command's
UNKNOWN_KEY = "host key is known for"
_KEY = re.compile(r"(?:Server host key: \S+ |sent by the remote host is\s+)(SHA256:[\w+/=]+)")
_REMOVE = re.compile(r"^\s*(ssh-keygen -f .*)$", re.MULTILINE)
_UNREACHABLE = (
    "Could not resolve hostname",
    "Connection refused",
    "timed out",
    "No route to host",
    "Network is unreachable",
    "Connection closed",
    "Connection reset",
    "closed by remote host",
    "not responding",
)


def fault(board: str, target: str, by_hand: str, said: str) -> ClusterError:
    """The error for a board whose ``ssh`` ended with ``FAILED`` and ``said`` that on stderr.

    ``by_hand``: what to type to log in there.
    """
    where, hand = f"board {board} ({target})", f"`{by_hand}`"
    key = _KEY.search(said)
    shown = f", {key[1]}" if key else ""
    last, said = last_line(said), _spoken(said)
    if "HOST IDENTIFICATION HAS CHANGED" in said or "has changed and you have" in said:
        remove = _REMOVE.search(said)
        return changed_key(where, shown, remove[1] if remove else "ssh-keygen -R HOST")
    if UNKNOWN_KEY in said or "Host key verification failed" in said:
        return unknown_key(where, shown, hand)
    if "Permission denied" in said or "Too many authentication failures" in said:
        return refused(where, last, hand)
    if any(words in said for words in _UNREACHABLE):
        return unreachable(where, last, hand)
    return ClusterError(f"{where}: ssh failed: {last}; try {hand}")


def changed_key(where: str, shown: str, remove: str) -> ClusterError:
    """``shown``: the fingerprint, as the rest of a clause; ``remove``: what forgets the old key."""
    return ClusterError(
        f"{where}: its host key is another one than before{shown}: somebody may be listening. "
        f"If the board was installed again, compare that with what `ssh-keygen -lf "
        f"/etc/ssh/ssh_host_ed25519_key.pub` prints on it, then forget the old one: {remove}"
    )


def unknown_key(where: str, shown: str, hand: str) -> ClusterError:
    """``hand``: what to do once the key was compared."""
    return ClusterError(
        f"{where}: its host key is not known here{shown}; compare it with what `ssh-keygen -lf "
        f"/etc/ssh/ssh_host_ed25519_key.pub` prints on the board, then log in once by {hand}"
    )


def refused(where: str, why: str, hand: str) -> ClusterError:
    """The board is there and does not let this user in."""
    return ClusterError(
        f"{where}: {why}; {hand} must log in without a question: is the user right, is the "
        f"key on the board (ssh-copy-id) and, if it has a passphrase, in the agent (ssh-add)?"
    )


def unreachable(where: str, why: str, hand: str) -> UnreachableError:
    """Nobody answers there."""
    return UnreachableError(
        f"{where}: {why}; is the board on and in this network, and does sshd run? Try {hand}"
    )


def last_line(said: str) -> str:
    """The reason, as a rule; never words for debugging."""
    return (_spoken(said).strip() or "it said nothing").splitlines()[-1].strip(" .")


def _spoken(said: str) -> str:
    return "\n".join(line for line in said.splitlines() if not line.startswith("debug"))
