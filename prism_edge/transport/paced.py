"""A transport slowed down to a given rate, for a lab on a machine without network namespaces.

Emulated: every rank has a link of its own, and what it sends leaves one message after another at
the rate in the pace file, ``{"rate_bps": 1e8, "up": true}``. What several ranks send to one is
not slowed down further.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from pathlib import Path

from torch import Tensor

from prism_edge.errors import PeerLostError
from prism_edge.spans import Effort
from prism_edge.transport import Pending, Transport


class Paced:
    """``inner`` at the pace the file says when a message begins."""

    def __init__(self, inner: Transport, pace_file: Path) -> None:
        self._inner = inner
        self._pace_file = pace_file
        self._free_s = 0.0  # when the last message will have left
        self._link = ThreadPoolExecutor(max_workers=1)
        self.rank = inner.rank
        self.size = inner.size
        self.staging = inner.staging
        self.tally = inner.tally

    @property
    def sent_bytes(self) -> int:
        return self._inner.sent_bytes

    @sent_bytes.setter
    def sent_bytes(self, value: int) -> None:
        self._inner.sent_bytes = value

    def begin(
        self,
        sends: Mapping[int, Tensor],
        receives: Mapping[int, int],
        effort: Effort | None = None,
    ) -> Pending:
        pace = json.loads(self._pace_file.read_text(encoding="utf-8"))
        if not pace["up"]:
            self._inner.abort()
            raise PeerLostError(f"rank {self.rank}: its emulated link is down")
        leaving = None
        if sends:
            sent = sum(tensor.numel() * tensor.element_size() for tensor in sends.values())
            seconds = sent * 8 / float(pace["rate_bps"])
            self._free_s = max(time.monotonic(), self._free_s) + seconds
            done = self.tally.effort() if effort is None else effort  # not that of when it leaves
            try:
                leaving = self._link.submit(self._send, dict(sends), self._free_s, done)
            except RuntimeError as error:  # no work is taken after the end
                raise PeerLostError(f"rank {self.rank}: has left the group") from error
        return _PacedPending(self, leaving, self._inner.begin({}, receives))

    def abort(self) -> None:
        self._link.shutdown(wait=False, cancel_futures=True)
        self._inner.abort()

    def close(self) -> None:
        self._link.shutdown(wait=False, cancel_futures=True)
        self._inner.close()

    def _send(self, sends: Mapping[int, Tensor], due_s: float, effort: Effort) -> Pending:
        time.sleep(max(0.0, due_s - time.monotonic()))
        return self._inner.begin(sends, {}, effort)


class _PacedPending:
    """Messages of which ours may still wait for the link."""

    def __init__(self, owner: Paced, leaving: Future[Pending] | None, arriving: Pending) -> None:
        self._owner = owner
        self._leaving = leaving
        self._arriving = arriving

    def wait(self, timeout_s: float | None = None) -> dict[int, Tensor]:
        payloads = self._arriving.wait(timeout_s)
        if self._leaving is not None:
            try:
                with self._owner.tally:
                    sent = self._leaving.result()
            except CancelledError as error:
                raise PeerLostError(
                    f"rank {self._owner.rank}: the group was left meanwhile"
                ) from error
            sent.wait(timeout_s)
        return payloads
