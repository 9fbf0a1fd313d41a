"""The 16 bytes in front of every payload: which message it is, and what its sender has done.

    bytes 0-1 message number, modulo 2^16      bytes 8-11  payload bytes, modulo 2^32
          2-3 check of the two times                 12-15 waited, us
          4-7 busy, us

All little-endian. GLOO delivers a message of the wrong size without a word, so both ends compute
every size from the plan, and the frame is checked before a payload is used. A frame without effort
is what wire protocol 2 had, two 64-bit words: so boards of both exchange manifests, which say why
they do not go together.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from prism_edge.spans import Effort

FRAME = struct.Struct("<HHIII")
FRAME_BYTES = FRAME.size
MOST_US = 2**32 - 1  # 72 minutes; more is not told apart
PRIME = 65521  # the largest below 2^16: no flipped byte of a time is a multiple of it


class Frame(NamedTuple):
    """One message's. ``number``: in this direction of this pair, from 0."""

    number: int
    payload_bytes: int
    effort: Effort

    def pack(self) -> bytes:
        busy_us, waited_us = _microseconds(self.effort.busy_s), _microseconds(self.effort.waited_s)
        return FRAME.pack(
            self.number % 2**16,
            _check(busy_us, waited_us),
            busy_us,
            self.payload_bytes % 2**32,
            waited_us,
        )

    @classmethod
    def unpack(cls, data: bytes) -> Frame | None:
        """None: what the sender has done was changed on the way."""
        number, check, busy_us, payload_bytes, waited_us = FRAME.unpack(data)
        if check != _check(busy_us, waited_us):
            return None
        return cls(number, payload_bytes, Effort(busy_us / 1e6, waited_us / 1e6))

    def announces(self, number: int, payload_bytes: int) -> bool:
        """True when it is that message's."""
        return (self.number, self.payload_bytes) == (number % 2**16, payload_bytes % 2**32)


def _microseconds(seconds: float) -> int:
    return min(max(round(seconds * 1e6), 0), MOST_US)


def _check(busy_us: int, waited_us: int) -> int:
    return (busy_us + 3 * waited_us) % PRIME
