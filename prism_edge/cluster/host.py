"""A host is a place that runs commands: a local process, a board of a lab, a machine behind SSH."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from typing import IO, Protocol


class Host(Protocol):
    """Runs programs at one address; every process it starts leads its own process group."""

    @property
    def name(self) -> str:
        """What people call it, such as edge-1."""
        ...

    @property
    def address(self) -> str:
        """Where the other hosts of its cluster reach it."""
        ...

    def popen(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        stdin: int | IO[bytes] | None = None,
        stdout: int | IO[bytes] | None = None,
        stderr: int | IO[bytes] | None = None,
    ) -> subprocess.Popen[bytes]:
        """The started process, which the caller waits for; ``env`` is added to the host's own.

        Its pid is also its process group, so ``os.killpg(process.pid, ...)`` reaches its children.
        Raises ``ClusterError`` when the program is not there.
        """
        ...

    def run(self, argv: Sequence[str], timeout_s: float) -> subprocess.CompletedProcess[str]:
        """The finished command with its output, whatever its exit code.

        Raises ``ClusterError`` after ``timeout_s``; nothing of the command is left running then.
        """
        ...
