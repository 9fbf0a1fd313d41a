"""What a sample says of what it was drawn from: intervals of shares, of medians; quantiles. Pure.

Letters: V values, D drawings.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

LEVEL = 0.95
Z = NormalDist().inv_cdf((1 + LEVEL) / 2)


def wilson(hits: int, n: int) -> tuple[float, float]:
    """Between which shares it lies (Wilson 1927, JASA 22:209); holds near 0 and 1 too."""
    share, z2 = hits / n, Z * Z / n
    middle = share + z2 / 2
    spread = math.sqrt(z2 * (share * (1 - share) + z2 / 4))
    return max(0.0, (middle - spread) / (1 + z2)), min(1.0, (middle + spread) / (1 + z2))


def tango(lost: int, won: int, n: int) -> tuple[float, float]:
    """Between which differences of two shares it lies when of ``n`` samples ``lost`` are hits of
    the first alone and ``won`` of the second alone (Tango 1998, Statistics in Medicine 17:891).

    Not nothing when no sample differs: the next one may.
    """

    def distance(delta: float) -> float:
        """In standard deviations, from a true difference ``delta`` to what was seen."""
        b = (2 * n - lost + won) * delta - lost - won
        rare = (math.sqrt(max(0.0, b * b + 8 * n * won * delta * (1 - delta))) - b) / (4 * n)
        spread = math.sqrt(max(1e-30, n * (2 * rare + delta * (1 - delta))))
        return (lost - won - n * delta) / spread

    def end(sign: int) -> float:
        near, far = (lost - won) / n, float(sign)
        for _ in range(50):
            middle = (near + far) / 2
            near, far = (middle, far) if abs(distance(middle)) < Z else (near, middle)
        return near

    return end(-1), end(1)


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which ``share`` of ``values`` lie, linear between neighbours."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def resampled_medians(
    values: Sequence[float], draws: int, draw: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Medians of as many values drawn from them with replacement (Efron 1979): their quantiles are
    the median's interval.  [V] -> [D]"""
    found = np.asarray(values, dtype=np.float64)
    medians: npt.NDArray[np.float64] = np.median(draw.choice(found, (draws, len(found))), axis=1)
    return medians
