"""What live traffic says about the tables: a number believed until two observations disagree.

Values with step functions: each observation gives the next belief; time is an argument.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from statistics import median

from prism_edge.schedule.link import LinkState

KEEP = 5  # observations the estimate is the median of
FADE_S = 30.0  # a belief that is not renewed is believed for about as long
FADE_MOST_S = 16 * FADE_S
NOTABLE = 0.05  # a multiplier nearer to 1 has nothing that could fade
RETRIED = 0.2  # of its time to fade, after which an observation is a re-try and no routine


@dataclass(frozen=True, slots=True, kw_only=True)
class Belief:
    """A positive number as last seen: the median of a few samples.

    ``band``: a factor by which noise is rarely off. The first sample outside is held in ``doubt``;
    a second one on the same side replaces all before it: noise moves nothing, a step is seen after
    two samples. ``fade_s``: how long it is believed without being seen again; twice as long each
    time that a re-try has shown it to be true still.
    """

    band: float
    samples: tuple[float, ...] = ()
    doubt: float | None = None
    seen_s: float = -math.inf
    fade_s: float = FADE_S

    def see(self, sample: float, now_s: float) -> Belief:
        """The belief after a sample."""
        if not self.samples:
            return replace(self, samples=(sample,), seen_s=now_s)
        estimate = median(self.samples)
        faded_s = RETRIED * self.fade_s
        retried = abs(estimate - 1) > NOTABLE and math.inf > now_s - self.seen_s > faded_s
        if estimate / self.band <= sample <= estimate * self.band:
            fade_s = min(2 * self.fade_s, FADE_MOST_S) if retried else self.fade_s
            samples = (*self.samples, sample)[-KEEP:]
            return replace(self, samples=samples, doubt=None, seen_s=now_s, fade_s=fade_s)
        if self.doubt is None or (self.doubt > estimate) != (sample > estimate):
            # what a re-try puts in doubt is not seen anew: it stays faded, and is tried once more
            return replace(self, doubt=sample, seen_s=self.seen_s if retried else now_s)
        samples = (self.doubt, sample)
        return replace(self, samples=samples, doubt=None, seen_s=now_s, fade_s=FADE_S)

    def factor(self, now_s: float, least: int = 1) -> float:
        """The estimate as a multiplier that fades to 1; 1 with fewer than ``least`` samples."""
        if len(self.samples) < least:
            return 1.0
        age_s = max(0.0, now_s - self.seen_s)
        return 1 + (median(self.samples) - 1) * math.exp(-age_s / self.fade_s)


DISAGREE = 1.4  # bandwidths: a factor by which noise is rarely off
INFORMATIVE = 0.3  # least share of a probe's time that its bytes, not its message, take

PROBE_EVERY_S = 1.5  # of idleness
PROBE_SHARE = 0.05  # of a busy leader's time: the most that probes take
CONFIRM_AFTER_S = 0.2  # a single disagreement is checked at once
PROBE_S = 0.020
PROBE_BYTES = (16 * 1024, 512 * 1024)  # less is mostly burst: a small bucket of tbf holds 3200


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkObserver:
    """The link as last seen. Starts as ``base`` (the table's).

    ``ways``: 2 when both directions of an exchange share the medium (half duplex). ``probed_s``:
    when a probe came back last, whatever it told.
    """

    base: LinkState
    ways: int = 1
    probed_s: float = -math.inf
    belief: Belief = Belief(band=DISAGREE)

    @property
    def link(self) -> LinkState:
        """The link now: as profiled until something else was observed."""
        if self.belief.samples in ((), (self.base.bandwidth_bps,)):
            return self.base
        return replace(self.base, bandwidth_bps=median(self.belief.samples), source="observed")

    def observe(self, bandwidth_bps: float, *, exact: bool, now_s: float) -> LinkObserver:
        """The observer after the link showed a bandwidth; not ``exact``: at least that one."""
        if not (math.isfinite(bandwidth_bps) and bandwidth_bps > 0):
            return self
        before = self.belief
        if not exact and bandwidth_bps <= DISAGREE * self.link.bandwidth_bps:
            # a lower bound that the estimate already meets; a doubt may fall short of it
            if before.doubt is None or bandwidth_bps <= DISAGREE * before.doubt:
                return self
            return replace(self, belief=replace(before, doubt=None))
        if not before.samples:  # the table is what a first sample may disagree with
            before = replace(before, samples=(self.base.bandwidth_bps,))
        return replace(self, belief=before.see(bandwidth_bps, now_s))

    def probed(self, payload_bytes: int, seconds: float, now_s: float) -> LinkObserver:
        """The observer after a mutual exchange of ``payload_bytes`` each way, nothing else going
        on. One so small that its message outweighs its bytes only gives a lower bound; one that
        failed took 0 s and tells nothing."""
        after = replace(self, probed_s=now_s)
        if not seconds > 0:
            return after
        moving = 8 * max(1.0, self.ways * payload_bytes - self.base.burst_bytes)
        moving_s = seconds - self.base.alpha_s
        exact = moving_s >= INFORMATIVE * seconds
        return after.observe(moving / (moving_s if exact else seconds), exact=exact, now_s=now_s)

    def probe_due(self, now_s: float, *, idle: bool) -> int | None:
        """Bytes to exchange now to learn the link, or None: seen lately enough.

        About 20 ms of the link as it is believed to be: hardly in the way of a request.
        """
        low, high = PROBE_BYTES
        wanted = int(min(max(self.link.bandwidth_bps / 8 / self.ways * PROBE_S, low), high))
        wait_s = PROBE_EVERY_S
        if not idle:
            wait_s = max(wait_s, self.link.exchange_s(self.ways * wanted) / PROBE_SHARE)
        if self.belief.doubt is not None:
            wait_s = CONFIRM_AFTER_S
        return None if now_s - max(self.belief.seen_s, self.probed_s) < wait_s else wanted
