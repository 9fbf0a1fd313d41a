"""What a program on a board prints, line by line, stamped on arrival with our monotonic clock.

One clock for all boards: no board's clock needs to be right, and what a line takes to arrive
(milliseconds) is little against the time between two of them.
"""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Sequence

from prism_edge.cluster.host import Host
from prism_edge.cluster.local import kill_group
from prism_edge.errors import ClusterError


class Lines:
    """A running program. ``take(line, now_s)`` is called from a thread of its own for every line;
    ``why_ended`` says what happened to a program that did not go on."""

    def __init__(self, host: Host, argv: Sequence[str], take: Callable[[str, float], None]) -> None:
        self.why_ended: str | None = None
        self._take = take
        self._closing = False
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self._process = host.popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,  # its complaint is then the last line
            )
        except ClusterError as error:
            self.why_ended = str(error)
            return
        self._thread = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """The program has ended."""
        self._closing = True
        if self._process is not None:
            kill_group(self._process)
            self._thread.join(timeout=5)  # longer, if a grandchild holds the pipe
            if self._process.stdin is not None:
                self._process.stdin.close()

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        last = ""
        with process.stdout as lines:  # this thread's, which may be held up when all else is closed
            for raw in lines:
                now_s = time.monotonic()
                last = raw.decode(errors="replace").strip()
                self._take(last, now_s)
        if not self._closing:
            self.why_ended = f"it ended with code {process.wait()}; its last line was {last!r}"
