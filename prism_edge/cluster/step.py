"""A step is one command and its reason: planned by pure code, shown by --dry-run, run here."""

from __future__ import annotations

import os
import shlex
import subprocess
from dataclasses import dataclass

from prism_edge.errors import LabError

_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One command; ``str(step)`` is a line that can be pasted into a shell."""

    argv: tuple[str, ...]
    why: str

    def __post_init__(self) -> None:
        if not self.argv:
            raise ValueError("argv: a step needs a program")

    def __str__(self) -> str:
        return f"{shlex.join(self.argv)}    # {self.why}"


def run_step(step: Step) -> str:
    """The standard output of the finished command; raises ``LabError`` when it fails."""
    try:
        done = subprocess.run(
            step.argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            cwd="/",
            env=tool_environment(),
            timeout=_TIMEOUT_S,
        )
    except FileNotFoundError as error:
        raise LabError(
            f"{step.why}: no program {step.argv[0]!r}; install iproute2 and util-linux"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise LabError(f"{step.why}: no end after {_TIMEOUT_S:g} s: {step}") from error
    if done.returncode != 0:
        said = done.stderr.strip() or f"exit code {done.returncode}"
        raise LabError(f"{step.why}: {said}; the command was: {shlex.join(step.argv)}")
    return done.stdout


def tool_environment() -> dict[str, str]:
    """The caller's environment with the system's PATH too, where ip and tc often are."""
    return {**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin:/usr/bin:/bin"}
