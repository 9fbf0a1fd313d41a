"""What a policy is tried on: requests of mixed sizes, while link and boards change. Pure, seeded.

A situation is a time in which nothing changes. Long ones show whether a policy keeps its mind,
short ones in a row are a ramp.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from prism_edge.errors import SettingsError

# Batch sizes and how often they come; profiles usually measure 1, 2, 4 and 8 of them.
MIX: Mapping[int, int] = {1: 6, 2: 4, 3: 4, 4: 4, 6: 2, 8: 2}
BACK_TO_BACK = 0.5  # the share of requests that come as soon as the one before is answered
GAP_S = 0.6  # the mean pause before the others
LONG, SHORT = 5, 1
LEAST = 30  # requests of a long situation, from which on flapping can be told
MBIT = 1e6

# (Mbit/s, what other work takes of the last board's core, how long, whether a ramp leads here)
STORY: Sequence[tuple[float, float, int, bool]] = (
    (200, 0.0, LONG, False),
    (50, 0.0, LONG, False),
    (20, 0.0, LONG, False),
    (20, 0.5, LONG, False),
    (20, 0.0, 4 * SHORT, False),
    (14, 0.0, SHORT, True),
    (10, 0.0, SHORT, True),
    (7, 0.0, SHORT, True),
    (5, 0.0, LONG, True),
    (10, 0.0, SHORT, True),
    (22, 0.0, SHORT, True),
    (47, 0.0, SHORT, True),
    (100, 0.0, LONG, True),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One batch to answer; ``gap_s``: idle seconds between the answer before and its arrival."""

    model: str
    batch: int
    gap_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """Requests under the same conditions, which begin with the gap before the first of them.

    ``slowed``: the share of the last board's core that other work takes. ``ramp``: the rate came
    here by small changes, not by one step.
    """

    rate_bps: float
    slowed: float
    ramp: bool
    requests: tuple[Request, ...]

    @property
    def steady(self) -> bool:
        """Long enough to judge whether a policy keeps its mind."""
        return len(self.requests) >= LEAST


Trace = tuple[Situation, ...]


def make_trace(requests: int, models: Sequence[str], seed: int) -> Trace:
    """The story told by ``requests`` requests; with few of them its short situations drop out.

    Every situation has its sizes in the proportions of the mix, in random order. Raises
    ``SettingsError`` for no requests.
    """
    if requests < 1:
        raise SettingsError(f"--requests {requests}: allowed is 1 or more")
    source = random.Random(f"{seed}/trace")
    counts = apportion(requests, [length for _, _, length, _ in STORY])
    return tuple(
        Situation(
            rate_bps=rate_mbit * MBIT,
            slowed=slowed,
            ramp=ramp,
            requests=_requests(count, models, source),
        )
        for (rate_mbit, slowed, _, ramp), count in zip(STORY, counts, strict=True)
        if count
    )


def apportion(total: int, weights: Sequence[int]) -> list[int]:
    """``total`` in whole parts as near to ``weights`` as can be."""
    bounds = [round(total * passed / sum(weights)) for passed in accumulate(weights, initial=0)]
    return [stop - start for start, stop in pairwise(bounds)]


def _requests(count: int, models: Sequence[str], source: random.Random) -> tuple[Request, ...]:
    sizes = list(MIX)
    batches = [
        size
        for size, times in zip(sizes, apportion(count, list(MIX.values())), strict=True)
        for _ in range(times)
    ]
    source.shuffle(batches)
    return tuple(
        Request(
            model=source.choice(models),
            batch=batch,
            gap_s=0.0 if source.random() < BACK_TO_BACK else source.expovariate(1 / GAP_S),
        )
        for batch in batches
    )
