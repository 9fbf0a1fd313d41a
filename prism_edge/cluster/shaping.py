"""Rates as text, and a link as the arguments of tc and ip: pure. Rates are bits per second."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from prism_edge.errors import SettingsError

_UNITS = {"bit": 1.0, "kbit": 1e3, "mbit": 1e6, "gbit": 1e9}
_FORM = re.compile(r"(\d+(?:\.\d+)?)\s*(bit|kbit|mbit|gbit)(?:/s)?", re.IGNORECASE)
_SLOWEST_BPS = 8e3
_FASTEST_BPS = 100e9

# The token bucket lets one burst pass at full speed, so it must be small against a message of
# 64 KiB, and large enough for two Ethernet frames and for the timer. Measured with TCP over veth:
# 3200 bytes already reach 95 % of 1, 20 and 100 Mbit/s (the rest is headers); above that it takes
# 0.25 ms of the rate; 16 KiB would carry 64 KiB at 122 % of 100 Mbit/s. docs/lab.md has the table.
_BURST_BYTES = 3200
_BURST_S = 0.25e-3

# The queue in front of the bucket. Too short, and several senders to one receiver lose whole
# flights and wait for TCP's 200 ms timer; too long, and small messages wait behind bulk.
_QUEUE_BYTES = 64 * 1024
_QUEUE_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """What one board's cable does now: its rate both ways, and whether it is plugged in."""

    rate_bps: float
    up: bool = True

    def __post_init__(self) -> None:
        if not (math.isfinite(self.rate_bps) and _SLOWEST_BPS <= self.rate_bps <= _FASTEST_BPS):
            raise SettingsError(
                f"link: rate {self.rate_bps:g} bit/s is out of range; "
                f"allowed are {format_rate(_SLOWEST_BPS)} to {format_rate(_FASTEST_BPS)}"
            )


def parse_rate(text: str) -> float:
    """Bits per second of '800kbit', '100mbit', '1.5gbit'; else raises ``SettingsError``."""
    match = _FORM.fullmatch(text.strip())
    if match is None:
        raise SettingsError(
            f"rate {text!r} is not understood; write a number and bit, kbit, mbit or gbit "
            "(per second), for example 800kbit, 100mbit or 1.5gbit"
        )
    return float(match[1]) * _UNITS[match[2].lower()]


def format_rate(rate_bps: float) -> str:
    """The shortest text that ``parse_rate`` reads back, to six digits."""
    for unit, scale in reversed(_UNITS.items()):
        if rate_bps >= scale:
            return f"{rate_bps / scale:.6g}{unit}"
    return f"{rate_bps:.6g}bit"


def burst_bytes(rate_bps: float) -> int:
    """Bytes that may pass at once: the smallest bucket that still reaches the nominal rate."""
    return max(_BURST_BYTES, math.ceil(rate_bps / 8 * _BURST_S))


def queue_bytes(rate_bps: float) -> int:
    """Bytes that wait before the link drops."""
    return max(_QUEUE_BYTES, math.ceil(rate_bps / 8 * _QUEUE_S))


def shape(device: str, link: Link) -> tuple[str, ...]:
    """The tc command by which ``device`` sends at the link's rate; harmless to live traffic."""
    return (
        *("tc", "qdisc", "replace", "dev", device, "root", "tbf"),
        *("rate", f"{round(link.rate_bps)}bit"),
        *("burst", str(burst_bytes(link.rate_bps))),
        *("limit", str(queue_bytes(link.rate_bps))),
    )


def plug(device: str, link: Link) -> tuple[str, ...]:
    """The ip command that plugs or unplugs the cable at ``device``."""
    return ("ip", "link", "set", "dev", device, "up" if link.up else "down")
