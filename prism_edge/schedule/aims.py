"""What the settings ask for, as the policy takes it."""

from __future__ import annotations

import math

from prism_edge.schedule.events import Aim
from prism_edge.settings import PolicySettings


def aim_of(policy: PolicySettings) -> Aim:
    """The aim of a cluster's settings; a drop of inf is no limit."""
    drop = policy.max_accuracy_drop
    return Aim(
        objective=policy.objective,
        exact=policy.exact,
        max_accuracy_drop=None if math.isinf(drop) else drop,
        hysteresis=policy.hysteresis,
    )
