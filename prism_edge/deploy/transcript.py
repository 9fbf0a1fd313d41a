"""What was done to one board in one run, in a file that holds no secret: time, command, outcome."""

from __future__ import annotations

import threading
from datetime import datetime
from pathlib import Path

from prism_edge.errors import ClusterError

_LINES = 20  # of a command's output
_KEPT = 100  # files


class Transcript:
    """One file, complete at any moment; threads may share it."""

    def __init__(self, path: Path) -> None:
        """Raises ``ClusterError`` when it cannot be written."""
        self.path = path
        self._lock = threading.Lock()
        self._secrets: set[str] = set()
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.touch(mode=0o600)
        except OSError as error:
            raise ClusterError(f"{path}: cannot be written: {error}; set XDG_STATE_HOME") from error

    def hide(self, secret: str) -> None:
        """It is replaced wherever it would appear from now on."""
        if secret:
            self._secrets.add(secret)

    def note(self, text: str) -> None:
        """The text, under the time."""
        self._write(text.rstrip())

    def command(self, command: str, code: int, seconds: float, output: str) -> None:
        """A command that ended, with the last lines of what it printed."""
        lines = output.rstrip().splitlines()
        left = len(lines) - _LINES
        shown = [*([f"... {left} lines more"] if left > 0 else []), *lines[-_LINES:]]
        self._write("\n".join([f"$ {command.strip()}", *shown, f"= {code} after {seconds:.2f} s"]))

    def _write(self, text: str) -> None:
        for secret in self._secrets:
            text = text.replace(secret, "[secret]")
        now = datetime.now().astimezone().isoformat(timespec="milliseconds")
        with self._lock, self.path.open("a", encoding="utf-8") as file:
            file.write(f"{now} {text}\n")


def transcript(directory: Path, board: str, now: datetime) -> Transcript:
    """The transcript of a run that begins now; of the old ones in ``directory`` most are gone."""
    for old in sorted(directory.glob("*.log"))[:-_KEPT]:
        old.unlink(missing_ok=True)
    return Transcript(directory / f"{now:%Y%m%d-%H%M%S}-{board}.log")
