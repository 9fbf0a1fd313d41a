"""What the settings ask for, as the policy takes it."""

from __future__ import annotations

import math

from prism_edge.schedule.events import Aim
from prism_edge.settings import Settings


def aim_of(settings: Settings) -> Aim:
    """The aim of a cluster's settings."""
    policy = settings.policy
    own = {model.name: model.max_accuracy_drop for model in settings.models}
    return Aim(
        objective=policy.objective,
        exact=policy.exact,
        max_accuracy_drop=_limit(policy.max_accuracy_drop),
        drops=tuple((name, _limit(drop)) for name, drop in own.items() if drop is not None),
        hysteresis=policy.hysteresis,
    )


def _limit(drop: float) -> float | None:
    """A drop of inf is no limit."""
    return None if math.isinf(drop) else drop
