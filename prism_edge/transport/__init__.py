"""Moving tensors between ranks. ``Transport`` is the seam; loopback is its twin without a network.

A message is a frame (``frame.py``) and a payload.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor

from prism_edge.spans import Effort
from prism_edge.transport.staging import Staging
from prism_edge.transport.tally import Tally


class Pending(Protocol):
    """Messages under way."""

    def wait(self, timeout_s: float | None = None) -> dict[int, Tensor]:
        """Payloads by source rank, uint8 [bytes] in host memory, once all are here and ours have
        left.

        They are valid until the next message of the same rank has been waited for. Waited for
        once. Raises ``PeerLostError``.
        """
        ...


class Transport(Protocol):
    """One rank's end of a group; used by one thread, except for ``abort``."""

    rank: int
    size: int
    sent_bytes: int  # payload sent so far, frames excluded
    staging: Staging  # how payloads get from the device that computes, and to it
    tally: Tally  # of this rank; every message tells its receiver

    def begin(
        self,
        sends: Mapping[int, Tensor],
        receives: Mapping[int, int],
        effort: Effort | None = None,
    ) -> Pending:
        """Start sending tensors, of any device, and receiving that many bytes from ranks.

        Messages of one rank are received in the order in which they are asked for; several may be
        asked for ahead. ``effort``: what the receivers are told, None: the tally as it is now.
        """
        ...

    def abort(self) -> None:
        """Wake whoever waits, with ``PeerLostError``; callable from any thread."""
        ...

    def close(self) -> None:
        """Leave the group."""
        ...
