"""A transport slowed down to a given rate, for a lab on a machine without network namespaces.

Emulated: one full-duplex link per rank; a wait lasts at least as long as the larger of its sent and
received bytes takes at the rate in the pace file, ``{"rate_bps": 1e8, "up": true}``.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from prism_edge.errors import PeerLostError
from prism_edge.transport import Pending, Transport


class Paced:
    """``inner`` at the pace the file says when a message begins."""

    def __init__(self, inner: Transport, pace_file: Path) -> None:
        self._inner = inner
        self._pace_file = pace_file
        self.rank = inner.rank
        self.size = inner.size

    @property
    def sent_bytes(self) -> int:
        return self._inner.sent_bytes

    @sent_bytes.setter
    def sent_bytes(self, value: int) -> None:
        self._inner.sent_bytes = value

    def begin(self, sends: Mapping[int, Tensor], receives: Mapping[int, int]) -> Pending:
        start_s = time.monotonic()
        pace = json.loads(self._pace_file.read_text(encoding="utf-8"))
        if not pace["up"]:
            self._inner.abort()
            raise PeerLostError(f"rank {self.rank}: its emulated link is down")
        sent = sum(tensor.numel() * tensor.element_size() for tensor in sends.values())
        seconds = max(sent, sum(receives.values())) * 8 / float(pace["rate_bps"])
        return _PacedPending(self._inner.begin(sends, receives), start_s + seconds)

    def abort(self) -> None:
        self._inner.abort()

    def close(self) -> None:
        self._inner.close()


class _PacedPending:
    """Messages that may not arrive before their time."""

    def __init__(self, inner: Pending, due_s: float) -> None:
        self._inner = inner
        self._due_s = due_s

    def wait(self, timeout_s: float | None = None) -> dict[int, Tensor]:
        payloads = self._inner.wait(timeout_s)
        time.sleep(max(0.0, self._due_s - time.monotonic()))
        return payloads
