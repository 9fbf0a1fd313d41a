"""What a user sets is what the policy aims at."""

from __future__ import annotations

from prism_edge.schedule.aims import aim_of
from prism_edge.schedule.events import Aim
from prism_edge.settings import PolicySettings


def test_usual_settings_are_the_usual_aim() -> None:
    assert aim_of(PolicySettings()) == Aim()


def test_everything_that_is_set_is_aimed_at() -> None:
    policy = PolicySettings(objective="energy", exact=True, max_accuracy_drop=0.01, hysteresis=0.2)
    assert aim_of(policy) == Aim(
        objective="energy", exact=True, max_accuracy_drop=0.01, hysteresis=0.2
    )
