"""Something that runs shell commands on one board: this machine, or a board behind SSH."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A command that ended. ``out`` and ``err``: what it printed, undecodable bytes replaced."""

    code: int
    out: str
    err: str


class Runner(Protocol):
    """One board. Every method raises ``UnreachableError`` when the board is lost on the way."""

    @property
    def name(self) -> str:
        """The board's name, for messages."""

    def run(
        self,
        command: str,
        *,
        root: bool = False,
        stdin: bytes | None = None,
        timeout_s: float = 60.0,
    ) -> Done:
        """The finished ``command``, a line for ``sh``; a code other than 0 is no error here.

        ``root``: as root, through sudo where the login is not root; raises ``ClusterError`` when it
        may not. Raises ``ClusterError`` after ``timeout_s``, and the command is then killed.
        """

    def put(
        self,
        source: Path | bytes,
        target: str,
        *,
        mode: int = 0o644,
        sent: Callable[[int], None] | None = None,
    ) -> None:
        """``target`` on the board holds these bytes, root's, with this mode: whole, or as before.

        Written beside it and renamed, so that a lost connection leaves no half. ``sent`` hears how
        many bytes have gone. Raises ``ClusterError`` when it does not fit on the disk.
        """

    def get(self, source: str, target: Path) -> None:
        """``target`` here holds the bytes of ``source`` on the board, read as root."""
