"""A command that has to work on a board, or the error that says which, where and what next."""

from __future__ import annotations

from prism_edge.deploy.runner import Runner
from prism_edge.errors import ClusterError

# What a command of ours sees there: nothing of the login's own, and nothing that asks.
CLEAN = (
    "env -i HOME=/nonexistent LC_ALL=C.UTF-8 PYTHONNOUSERSITE=1 PYTHONDONTWRITEBYTECODE=1 "
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
)
_SHOWN_LINES = 8
_SHOWN_CHARACTERS = 160


def must(
    runner: Runner,
    about: str,
    command: str,
    *,
    then: str,
    stdin: bytes | None = None,
    timeout_s: float = 60.0,
) -> str:
    """What ``command`` printed, run as root. ``about``: what it is for; ``then``: what helps when
    it does not work, with which the ``ClusterError`` ends."""
    done = runner.run(command, root=True, stdin=stdin, timeout_s=timeout_s)
    if done.code:
        raise ClusterError(
            f"board {runner.name}: {about}: {last_words(done.err or done.out)} (exit code "
            f"{done.code} of: {_short(command)}); {then}"
        )
    return done.out


def last_words(text: str) -> str:
    """The end of what a command said, as one line; of a Python that fell over, only the error."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    fell = any(line.startswith("Traceback (most recent") for line in lines)
    return " / ".join(lines[-1 if fell else -_SHOWN_LINES :]) or "it said nothing"


def _short(command: str) -> str:
    line = " ".join(command.split())
    return line if len(line) <= _SHOWN_CHARACTERS else line[:_SHOWN_CHARACTERS] + "..."
