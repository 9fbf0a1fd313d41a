"""Timing the link between ranks with the production transport: a ping-pong and a mutual exchange.

A probe is a request with an empty model name; its one tensor is named after the operation.
"""

from __future__ import annotations

import time
from typing import Literal

import torch

from prism_edge.plan import LOCAL
from prism_edge.transport import Transport
from prism_edge.wire import Header

Operation = Literal["oneway", "exchange"]
PROBE = ""  # the model name no model can have


def lead_echo(group: Transport, rank: int, operation: Operation, payload_bytes: int) -> float:
    """Seconds one message of ``payload_bytes`` takes between this rank and ``rank``.

    ``oneway``: half of a round trip. ``exchange``: from launch until both directions are through.
    """
    header = Header(PROBE, LOCAL, 1, 1, None, ((operation, "u8", (payload_bytes,)),))
    payload = torch.zeros(payload_bytes, dtype=torch.uint8)
    group.begin({rank: header.encode()}, {}).wait()
    group.begin({}, {rank: 1}).wait()  # the other side is ready: its start is not in the figure
    start_s = time.monotonic()
    if operation == "exchange":
        group.begin({rank: payload}, {rank: payload_bytes}).wait()
        return time.monotonic() - start_s
    group.begin({rank: payload}, {rank: payload_bytes}).wait()
    return (time.monotonic() - start_s) / 2


def follow_echo(header: Header, group: Transport) -> None:
    """The other rank's side of ``lead_echo``."""
    operation = header.tensors[0][0]
    payload = torch.zeros(header.body_bytes, dtype=torch.uint8)
    ready = torch.zeros(1, dtype=torch.uint8)
    if operation == "exchange":
        group.begin({0: ready}, {}).wait()
        group.begin({0: payload}, {0: header.body_bytes}).wait()
        return
    group.begin({0: ready}, {}).wait()
    received = group.begin({}, {0: header.body_bytes}).wait()[0]
    group.begin({0: received}, {}).wait()
