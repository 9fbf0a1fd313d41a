"""What live traffic says about the tables: how fast the link is now, how slow the boards are now.

Values with step functions: each observation gives the next observer; time is an argument.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from statistics import median

from prism_edge.plan import Plan
from prism_edge.schedule.link import LinkState

KEEP = 5  # observations the estimate is the median of
DISAGREE = 1.4  # a factor by which noise is rarely off; twice in a row it is a change
INFORMATIVE = 0.3  # least share of a transfer's time that its bytes, not its message, take

PROBE_EVERY_S = 1.5
CONFIRM_AFTER_S = 0.2  # a single disagreement is checked at once
PROBE_S = 0.020
PROBE_BYTES = (32 * 1024, 512 * 1024)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkObserver:
    """The link as last seen. Starts as ``base`` (the table's); ``samples`` are bits per second.

    ``ways``: 2 when both directions of an exchange share the medium (half duplex).
    """

    base: LinkState
    ways: int = 1
    samples: tuple[float, ...] = ()
    doubt: float | None = None
    seen_s: float = -math.inf

    @property
    def link(self) -> LinkState:
        """The link now: as profiled until something else was observed."""
        if not self.samples:
            return self.base
        return replace(self.base, bandwidth_bps=median(self.samples), source="observed")

    def observe(
        self, *, payload_bytes: int, seconds: float, exact: bool, now_s: float
    ) -> LinkObserver:
        """The observer after an exchange of ``payload_bytes`` each way took ``seconds``.

        Not ``exact``: at most that long, because it was over before anybody looked. Of the
        exchanges of one request give the fastest: a late peer looks like a slow link.

        A transfer that is not exact, or so small that its message outweighs its bytes, only says
        how fast the link is at least. The first observation that disagrees by more than 40 % is
        held in doubt; a second one in the same direction replaces all before it.
        """
        if payload_bytes <= 0 or seconds <= 0:
            return self
        estimate = self.link.bandwidth_bps
        moving_s = seconds - self.base.alpha_s
        if exact and moving_s >= INFORMATIVE * seconds:
            sample = 8 * self.ways * payload_bytes / moving_s
        else:
            sample = 8 * self.ways * payload_bytes / seconds
            if sample <= DISAGREE * estimate:
                return self  # a lower bound that the estimate already meets
        if estimate / DISAGREE <= sample <= estimate * DISAGREE:
            samples = (*self.samples, sample)[-KEEP:]
            return replace(self, samples=samples, doubt=None, seen_s=now_s)
        if self.doubt is None or (self.doubt > estimate) != (sample > estimate):
            return replace(self, doubt=sample, seen_s=now_s)
        return replace(self, samples=(self.doubt, sample), doubt=None, seen_s=now_s)

    def probe_due(self, now_s: float, idle: bool) -> int | None:
        """Bytes to exchange now to learn the link, or None: busy, or seen lately.

        About 20 ms of the link as it is believed to be: hardly in the way of a request.
        """
        wait_s = PROBE_EVERY_S if self.doubt is None else CONFIRM_AFTER_S
        if not idle or now_s - self.seen_s < wait_s:
            return None
        low, high = PROBE_BYTES
        wanted = self.link.bandwidth_bps / 8 / self.ways * PROBE_S
        return int(min(max(wanted, low), high))


SMOOTHING = 0.3
BOUNDS = (0.5, 3.0)
FORGET_S = 120.0  # a plan that is not run any more is not blamed for long


@dataclass(frozen=True, slots=True, kw_only=True)
class ComputeCorrection:
    """How many times the measured computing a (plan, batch) takes now; 1 where nothing was seen."""

    ratios: Mapping[tuple[Plan, int], tuple[float, float]] = field(default_factory=dict)

    def observe(
        self, plan: Plan, batch: int, *, observed_s: float, predicted_s: float, now_s: float
    ) -> ComputeCorrection:
        """The correction after computing took ``observed_s`` where ``predicted_s`` was measured."""
        if observed_s <= 0 or predicted_s <= 0:
            return self
        before = self.factor(plan, batch, now_s)
        low, high = BOUNDS
        ratio = min(max(observed_s / predicted_s, low), high)
        after = before + SMOOTHING * (ratio - before)
        return replace(self, ratios={**self.ratios, (plan, batch): (after, now_s)})

    def factor(self, plan: Plan, batch: int, now_s: float) -> float:
        """The multiplier for ``predict``, between 0.5 and 3; it fades when it is not renewed."""
        ratio, seen_s = self.ratios.get((plan, batch), (1.0, now_s))
        return 1 + (ratio - 1) * math.exp(-max(0.0, now_s - seen_s) / FORGET_S)
