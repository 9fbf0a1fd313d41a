"""A run continues another only where nothing is different that its rows depend on."""

from __future__ import annotations

from dataclasses import replace

import pytest
from measured import profile

from prism_edge.profile.same import differences
from prism_edge.tables import BoardInfo, ModelEntry, Profile


def small() -> Profile:
    return profile(batches=(1,))


def with_fact(key: str, value: str) -> tuple[BoardInfo, ...]:
    first, *others = small().boards
    return (replace(first, facts={**first.facts, key: value}), *others)


def with_model(**changes: str) -> tuple[ModelEntry, ...]:
    return tuple(replace(model, **changes) for model in small().models)


def test_the_same_has_no_differences() -> None:
    assert list(differences(small(), small())) == []
    later = replace(small(), created="later", conditions={"started": "later"}, compute=())
    assert list(differences(small(), later)) == []
    assert list(differences(small(), replace(small(), boards=with_fact("new", "fact")))) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"version": "9"}, "prism-edge was '0.1.0', is '9'"),
        ({"kind": "lab"}, "its kind was 'boards', is 'lab'"),
        ({"cluster": "other"}, "the cluster was 'paper', is 'other'"),
        ({"link_description": "wifi"}, "the link was '100mbit', is 'wifi'"),
        ({"boards": small().boards[::-1]}, "the order of the boards was 'edge-1, edge-2'"),
        ({"boards": small().boards[:1]}, "the order of the boards"),
        ({"boards": with_fact("torch", "2.9")}, "board edge-1: torch was '2.1', is '2.9'"),
        ({"sweep": {"batches": "1"}}, "the sweep's batches was '1,2,4,8', is '1'"),
        (
            {"models": with_model(fingerprint="beef")},
            "the fingerprint of model net was 'f00d', is 'beef'",
        ),
        ({"models": with_model(name="x")}, "model net is no longer asked for"),
        ({"models": ()}, "model net is no longer asked for"),
    ],
)
def test_what_differs_is_said(changes: dict[str, object], said: str) -> None:
    found = list(differences(small(), replace(small(), compute=(), link=(), **changes)))
    assert said in "; ".join(found)


def test_another_power_mode_is_said() -> None:
    then = replace(small(), boards=with_fact("power_mode", "15W"))
    now = replace(small(), boards=with_fact("power_mode", "MAXN"))
    assert list(differences(then, now)) == ["board edge-1: power_mode was '15W', is 'MAXN'"]


def test_a_new_model_is_said() -> None:
    models = (*small().models, replace(small().models[0], name="more"))
    assert list(differences(small(), replace(small(), models=models))) == ["model more is new"]
