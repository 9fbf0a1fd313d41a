"""A link as two numbers: seconds per message, and bits per second. Fitted, given or observed."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from statistics import mean, median
from typing import Literal

from prism_edge.tables import LinkRow

Source = Literal["table", "observed", "given"]

# Of an Ethernet frame's 1514 bytes TCP fills 1448 with payload: what a nominal rate leaves us.
PAYLOAD_SHARE = 1448 / 1514
# A mutual exchange that is this much slower than one way shares one medium: half duplex.
HALF_DUPLEX_RATIO = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkState:
    """What an exchange costs: ``alpha_s`` + 8 x bytes that compete / ``bandwidth_bps``.

    ``burst_bytes`` of every message travel at no cost, as through a token bucket that is full.
    """

    alpha_s: float
    bandwidth_bps: float
    source: Source
    burst_bytes: float = 0.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.alpha_s) and self.alpha_s >= 0):
            raise ValueError(f"link: alpha_s={self.alpha_s}, allowed is a finite number from 0")
        if not self.bandwidth_bps > 0:
            raise ValueError(f"link: bandwidth_bps={self.bandwidth_bps}, allowed is more than 0")
        if not (math.isfinite(self.burst_bytes) and self.burst_bytes >= 0):
            raise ValueError(f"link: burst_bytes={self.burst_bytes}, allowed is a number from 0")

    def as_dict(self) -> dict[str, object]:
        """As JSON holds it; a link of which nobody sees the bandwidth has none."""
        bandwidth_bps = self.bandwidth_bps if math.isfinite(self.bandwidth_bps) else None
        return {"alpha_s": self.alpha_s, "bandwidth_bps": bandwidth_bps, "source": self.source}

    def exchange_s(self, competing_bytes: float) -> float:
        """Seconds from launch until ``competing_bytes`` have arrived."""
        moving_bytes = max(0.0, competing_bytes - self.burst_bytes)
        return self.alpha_s + 8 * moving_bytes / self.bandwidth_bps


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """latency = ``alpha_s`` + 8 x (bytes - ``burst_bytes``) / ``bandwidth_bps``.

    One of ``alpha_s`` and ``burst_bytes`` is 0. ``error``: mean relative residual.
    """

    alpha_s: float
    bandwidth_bps: float
    error: float
    burst_bytes: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """The cluster's link as its table has it. ``half_duplex``: both directions share the medium."""

    exchange: Line
    oneway: Line
    half_duplex: bool

    @property
    def state(self) -> LinkState:
        """The link as it was when it was measured."""
        return self._state(self.exchange.bandwidth_bps, "table")

    def given(self, rate_bps: float) -> LinkState:
        """The link at another nominal rate: its messages cost what they did, its bytes do not."""
        return self._state(rate_bps * PAYLOAD_SHARE, "given")

    def _state(self, bandwidth_bps: float, source: Source) -> LinkState:
        return LinkState(
            alpha_s=self.exchange.alpha_s,
            bandwidth_bps=bandwidth_bps,
            source=source,
            burst_bytes=self.exchange.burst_bytes,
        )


def fit_links(rows: Iterable[LinkRow]) -> Links | None:
    """The fit of a link table, or None when it has not two sizes of anything.

    The slowest pair of boards counts at every size. Which of ``exchange`` and ``oneway`` was not
    measured is taken for the other.
    """
    found: dict[str, dict[int, dict[tuple[str, str], list[float]]]] = defaultdict(dict)
    for row in rows:
        if row.world == 2 and row.load == "idle":
            pairs = found[row.op].setdefault(row.bytes, defaultdict(list))
            pairs[row.src, row.dst].append(row.latency_s)
    lines = {
        op: fit_line({size: max(map(median, pairs.values())) for size, pairs in sizes.items()})
        for op, sizes in found.items()
        if len(sizes) >= 2
    }
    exchange, oneway = lines.get("exchange"), lines.get("oneway")
    if exchange is None or oneway is None:
        line = exchange or oneway
        return None if line is None else Links(exchange=line, oneway=line, half_duplex=False)
    half_duplex = oneway.bandwidth_bps > HALF_DUPLEX_RATIO * exchange.bandwidth_bps
    if half_duplex:  # both directions' bytes compete, so an exchange moved twice what it says
        exchange = replace(
            exchange,
            bandwidth_bps=2 * exchange.bandwidth_bps,
            burst_bytes=2 * exchange.burst_bytes,
        )
    return Links(exchange=exchange, oneway=oneway, half_duplex=half_duplex)


def fit_line(medians: Mapping[int, float]) -> Line:
    """Least squares over {bytes: seconds}, every size weighing the same.

    Relative residuals, because a request's messages are small: an absolute fit would follow the
    largest payload and miss by its noise what a small message costs. A line that meets the axis
    below zero is that of a link whose first bytes travel ahead of its rate.
    """
    points = sorted(medians.items())
    ones = sum(1 / y**2 for _, y in points)
    cross = sum(x / y**2 for x, y in points)
    squares = sum((x / y) ** 2 for x, y in points)
    left, right = sum(1 / y for _, y in points), sum(x / y for x, y in points)
    determinant = ones * squares - cross * cross
    alpha = (left * squares - right * cross) / determinant
    beta = (right * ones - left * cross) / determinant
    burst = 0.0
    if beta <= 0:
        alpha, beta = left / ones, 0.0
    elif alpha < 0:
        alpha, burst = 0.0, min(-alpha / beta, 0.99 * points[0][0])
    return Line(
        alpha_s=alpha,
        bandwidth_bps=8 / beta if beta > 0 else math.inf,
        error=mean(abs(alpha + beta * (x - burst) - y) / y for x, y in points),
        burst_bytes=burst,
    )
