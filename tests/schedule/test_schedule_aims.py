"""What a user sets is what the policy aims at."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

from prism_edge.schedule.aims import aim_of
from prism_edge.schedule.events import Aim, Started, from_json, to_json
from prism_edge.settings import (
    ModelSettings,
    PolicySettings,
    ServeSettings,
    Settings,
    single_board,
)


def settings(policy: PolicySettings, models: tuple[ModelSettings, ...] = ()) -> Settings:
    return replace(single_board(models, ServeSettings()), policy=policy)


def test_usual_settings_are_the_usual_aim() -> None:
    models = (ModelSettings(name="vit", path=Path("vit")),)
    assert aim_of(settings(PolicySettings(), models)) == Aim()


def test_everything_that_is_set_is_aimed_at() -> None:
    policy = PolicySettings(objective="energy", exact=True, max_accuracy_drop=0.01, hysteresis=0.2)
    assert aim_of(settings(policy)) == Aim(
        objective="energy", exact=True, max_accuracy_drop=0.01, hysteresis=0.2
    )


def test_a_model_may_have_a_budget_of_its_own() -> None:
    models = tuple(
        ModelSettings(name=name, path=Path(name), max_accuracy_drop=drop)
        for name, drop in (("vit", 0.005), ("gpt2", None), ("bert", math.inf))
    )
    aim = aim_of(settings(PolicySettings(max_accuracy_drop=0.1), models))
    limits = {name: aim.of(name).max_accuracy_drop for name in ("vit", "gpt2", "bert")}
    assert limits == {"vit": 0.005, "gpt2": 0.1, "bert": None}
    own = "at most 0.005 less of vit, any loss of bert"
    assert str(aim) == f"least latency, at most 0.1 less accuracy, {own}"
    assert str(aim.of("vit")) == "least latency, at most 0.005 less accuracy"
    started = Started(now_s=0.0, aim=aim, profile="none", boards=("edge-1",))
    assert from_json(to_json(started)) == started
