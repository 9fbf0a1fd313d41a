"""What two profiles say differently about the same things is listed, and nothing else."""

from __future__ import annotations

import dataclasses

from measured import profile

from prism_edge.changes.facts import Fact, differing, load_average


def test_a_profile_does_not_differ_from_itself_nor_by_when_it_was_measured() -> None:
    made = profile()
    later = dataclasses.replace(made, created="2026-01-01", conditions={"seconds": "9"})
    assert differing(made, made) == differing(made, later) == ()


def test_another_power_mode_torch_and_link_are_told() -> None:
    made = profile()
    first, second = made.boards
    facts = {"torch": "2.5", "power_mode": "MODE_15W"}
    other = dataclasses.replace(
        made,
        boards=(first, dataclasses.replace(second, facts=facts)),
        link_description="20mbit",
    )
    assert differing(made, other) == (
        Fact(where="cluster", key="link", a="100mbit", b="20mbit"),
        Fact(where="board edge-2", key="torch", a="2.1", b="2.5"),
        Fact(where="board edge-2", key="power_mode", a=None, b="MODE_15W"),
    )


def test_another_model_and_fewer_boards_are_told() -> None:
    made, alone = profile(), profile(boards=1)
    model = dataclasses.replace(made.models[0], fingerprint="beef")
    other = dataclasses.replace(alone, models=(model,))
    found = {(fact.where, fact.key): (fact.a, fact.b) for fact in differing(made, other)}
    assert found["cluster", "boards"] == ("edge-1, edge-2", "edge-1")
    assert found["model net", "fingerprint"] == ("f00d", "beef")
    assert found["board edge-2", "device"] == ("cpu", None)


def test_the_same_weights_under_another_name_are_the_same_model() -> None:
    made = profile()
    model = dataclasses.replace(made.models[0], name="other")
    renamed = dataclasses.replace(made, models=(model,), compute=())
    assert differing(made, renamed) == (Fact(where="model net", key="name", a="net", b="other"),)


def test_the_load_is_what_was_seen_while_measuring() -> None:
    made = profile()
    assert load_average(made) is None
    loads = {"load_average_end": "2.0", "load_average_median": "1.5"}
    assert load_average(dataclasses.replace(made, conditions=loads)) == "1.5"
