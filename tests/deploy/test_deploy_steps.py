"""Steps lead to what is wished, once; nothing serves before Activate; what is needed stays."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paper_board import after, bundle, facts, goods, private, settings, sha, wished

from prism_edge.deploy import paths
from prism_edge.deploy.facts import Facts, Installed
from prism_edge.deploy.step import (
    Activate,
    MakeEnvironment,
    MakeMeshKey,
    MakeRelease,
    Prune,
    PutFile,
    SendModel,
    SendTables,
    StartMesh,
    Step,
)
from prism_edge.deploy.steps import disk_bytes, steps
from prism_edge.deploy.wish import Wish
from prism_edge.settings import PolicySettings

FEW = st.sampled_from(["a", "b"])
MESH = st.sampled_from([None, "a", "b"])
CHANGES = st.fixed_dictionaries(
    {
        "code": FEW,
        "package": st.sampled_from(["transformers", "pandas"]),
        "model": FEW,
        "tables": st.sampled_from(["a", "b", ""]),
        "unit": FEW,
        "token": FEW,
        "mesh": MESH,
        "exact": st.booleans(),
        "board": st.sampled_from(["edge-1", "edge-2"]),
    }
)


def wish(now: Facts, **change: Any) -> Wish:
    given_ = {"code": "a", "package": "transformers", "model": "a", "tables": "a", "unit": "a"}
    given_ |= {"token": "a", "mesh": None, "exact": False} | change
    return wished(
        now,
        cluster=settings(policy=PolicySettings(exact=given_["exact"])),
        packed=bundle(code=given_["code"], packages=[given_["package"]]),
        sent=goods(**{key: given_[key] for key in ("model", "tables", "unit", "token")}),
        own=private(given_["mesh"]),
    )


def pushed(now: Facts, **change: Any) -> Facts:
    return after(now, steps(wish(now, **change), now))


def kinds(made: tuple[Step, ...]) -> list[str]:
    return [type(step).__name__ for step in made]


def test_a_clean_board_gets_everything_in_order() -> None:
    now = facts()
    made = steps(wish(now, mesh="conf"), now)
    assert kinds(made) == [
        "MakeUser",
        "PutFile",
        "PutFile",
        "SendWheels",
        "MakeEnvironment",
        "SendModel",
        "SendTables",
        "MakeMeshKey",
        "PutFile",
        "StartMesh",
        "MakeRelease",
        "Activate",
    ]
    assert all(step.why for step in made)


@given(st.lists(CHANGES, min_size=1, max_size=6))
def test_the_same_wish_twice_is_no_step(history: list[dict[str, Any]]) -> None:
    board = history[0].pop("board")
    now = facts(board)
    for change in history:
        change.pop("board", None)
        wanted = wish(now, **change)
        now = after(now, steps(wanted, now))
        assert steps(wish(now, **change), now) == ()
        assert now.installed.current == wanted.release


@given(st.lists(CHANGES, min_size=1, max_size=6))
def test_nothing_that_serves_is_touched_before_it_is_activated(
    history: list[dict[str, Any]],
) -> None:
    now = facts()
    for change in history:
        change.pop("board")
        made = steps(wish(now, **change), now)
        found = kinds(made)
        assert found.count("Activate") <= 1
        assert found.count("Prune") <= 1
        if "Prune" in found:
            assert found[-1] == "Prune"
        if "Activate" in found:
            assert set(found[found.index("Activate") + 1 :]) <= {"Prune"}
        before = [step for step in made if not isinstance(step, Activate | Prune)]
        between = after(now, before).installed
        assert (between.current, between.previous) == (
            now.installed.current,
            now.installed.previous,
        )
        assert paths.UNIT_FILE not in {s.path for s in made if isinstance(s, PutFile)}
        now = after(now, made)


@given(st.lists(CHANGES, min_size=1, max_size=8))
def test_what_kept_releases_need_is_never_pruned(history: list[dict[str, Any]]) -> None:
    now = facts()
    for change in history:
        change.pop("board")
        made = steps(wish(now, **change), now)
        served = now.installed.current
        now = after(now, made)
        there = now.installed
        assert len(there.releases) <= paths.KEPT
        assert there.current in there.releases
        if served is not None:
            assert served in there.releases
        for release in there.releases:
            manifest: Any = there.manifests[release]
            assert manifest["environment"] in there.environments
            models = {path.rpartition("/")[2] for path in manifest["models"].values()}
            assert models <= set(there.models)


def test_pruning_ends_what_only_old_releases_need() -> None:
    now = facts()
    for number in range(5):
        now = pushed(now, code=str(number), model=str(number), package=f"package{number}")
    assert len(now.installed.releases) == paths.KEPT
    assert len(now.installed.models) == paths.KEPT
    assert len(now.installed.environments) == paths.KEPT
    assert now.installed.models[-1] == f"vit-{sha('4')[:12]}"


def test_a_release_that_tells_nothing_of_itself_keeps_environments_and_models() -> None:
    now = pushed(facts())
    there = dataclasses.replace(now.installed, manifests={}, environments=("old", "older"))
    now = dataclasses.replace(now, installed=there)
    assert "Prune" not in kinds(steps(wish(now, code="b", model="b"), now))


def test_after_a_rollback_by_hand_the_wished_release_is_only_activated() -> None:
    first = pushed(facts())
    second = pushed(first, code="b")
    there = second.installed
    back = dataclasses.replace(there, current=there.previous, previous=there.current)
    now = dataclasses.replace(second, installed=back)
    made = steps(wish(now, code="b"), now)
    assert kinds(made) == ["Activate"]
    assert made[0].why == f"the board serves {there.previous}"


@pytest.mark.parametrize(
    ("change", "expected", "why"),
    [
        ({"tables": "b"}, ["SendTables", "Activate"], "tables: the daemon reads that"),
        ({"token": "b"}, ["PutFile", "Activate"], "token: the daemon reads that"),
        ({"exact": True}, ["MakeRelease", "Activate"], "the board serves 0.1.0-"),
        ({"code": "b"}, ["SendWheels", "MakeRelease", "Activate"], "the board serves 0.1.0-"),
    ],
)
def test_a_change_is_only_what_it_asks_for(
    change: dict[str, Any], expected: list[str], why: str
) -> None:
    now = pushed(facts())
    made = steps(wish(now, **change), now)
    assert kinds(made) == expected
    assert made[-1].why.startswith(why)


def test_new_tables_start_the_leader_again_and_no_worker_on_a_cpu() -> None:
    for board, expected in (("edge-1", ["SendTables", "Activate"]), ("edge-2", ["SendTables"])):
        now = pushed(facts(board))
        assert kinds(steps(wish(now, tables="b"), now)) == expected


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"exact": True}, "cluster.toml"),
        ({"code": "b"}, "prism-edge itself"),
        ({"package": "pandas"}, "other packages"),
        ({"model": "b"}, "models, cluster.toml"),
        ({"unit": "b"}, "prism-edge.service"),
    ],
)
def test_a_new_release_says_what_differs(change: dict[str, Any], why: str) -> None:
    now = pushed(facts())
    (made,) = [s for s in steps(wish(now, **change), now) if isinstance(s, MakeRelease)]
    assert made.why == f"the board has {now.installed.current}; new: {why}"


@pytest.mark.parametrize(
    ("state", "why"),
    [
        ({"active": "failed"}, "the service is failed"),
        ({"active": None, "enabled": False}, "the service is not installed, and would not start"),
        ({"enabled": False}, "the service is active, and would not start with the board"),
        ({"pending": "x"}, "it was switched to, and has not proved healthy"),
    ],
)
def test_a_service_that_is_not_well_is_started_again(state: dict[str, Any], why: str) -> None:
    now = pushed(facts())
    now = dataclasses.replace(now, installed=dataclasses.replace(now.installed, **state))
    (made,) = steps(wish(now), now)
    assert isinstance(made, Activate)
    assert made.restart
    assert made.why.startswith(why)


def test_without_tables_here_those_of_the_board_stay() -> None:
    now = pushed(facts())
    assert steps(wish(now, tables=""), now) == ()


def test_a_mesh_is_made_before_anything_needs_it() -> None:
    now = pushed(facts())
    made = steps(wish(now, mesh="conf"), now)
    assert [type(step) for step in made] == [MakeMeshKey, PutFile, StartMesh]
    now = after(now, made)
    assert steps(wish(now, mesh="conf"), now) == ()
    down = dataclasses.replace(now.installed, mesh_active=False)
    assert kinds(steps(wish(now, mesh="conf"), dataclasses.replace(now, installed=down))) == [
        "StartMesh"
    ]


def test_the_bytes_on_the_disk_are_those_of_all_that_is_sent_and_unpacked() -> None:
    now = facts()
    wanted = wish(now)
    made = steps(wanted, now)
    wheels = sum(wheel.bytes + wheel.unpacked_bytes for wheel in wanted.bundle.wheels.values())
    sent = [s for s in made if isinstance(s, SendModel | SendTables)]
    data = sum(file.bytes for step in sent for file in step.files.values())
    assert disk_bytes(wanted, made) == (wheels, data)
    done = after(now, made)
    assert disk_bytes(wanted, steps(wish(done), done)) == (0, 0)


def test_an_environment_is_made_for_the_torch_that_is_there() -> None:
    now = facts()
    (made,) = [s for s in steps(wish(now), now) if isinstance(s, MakeEnvironment)]
    assert made.own_torch
    assert made.why == "the board has no environment with these packages"
    assert made.pins == now.torch.pins
    assert not any(name.startswith("prism_edge") for name in made.wheels)


def test_a_board_whose_own_torch_is_passed_over_is_told_so() -> None:
    now = facts()
    now = dataclasses.replace(now, torch=dataclasses.replace(now.torch, cuda=None))
    wanted = wished(now, packed=bundle(own_torch=False))
    (made,) = [s for s in steps(wanted, now) if isinstance(s, MakeEnvironment)]
    assert not made.own_torch
    assert f"its own torch {now.torch.version} stays as it is" in made.why


def test_a_step_back_to_a_release_that_is_there_makes_nothing() -> None:
    now = pushed(pushed(facts()), code="b")
    assert kinds(steps(wish(now), now)) == ["Activate"]


def test_an_unknown_current_release_is_told() -> None:
    now = facts(installed=Installed(releases=("0.0.1-old",), current="0.0.1-old"))
    (made,) = [s for s in steps(wish(now), now) if isinstance(s, MakeRelease)]
    assert made.why == "the board has 0.0.1-old, of which nothing is known"


def test_what_the_cluster_no_longer_has_goes_after_the_switch() -> None:
    now = pushed(facts(), mesh="conf")
    plain = dataclasses.replace(goods(), files=goods().files[:1])
    made = steps(wished(now, sent=plain), now)
    assert isinstance(made[-1], Prune)
    assert made[-1].paths == (paths.mesh_conf("prism0"), paths.TOKEN)
    now = after(now, made)
    assert steps(wished(now, sent=plain), now) == ()


def test_what_a_power_cut_has_left_goes() -> None:
    now = pushed(facts())
    left = (f"{paths.MODELS}/.making-vit-0123456789ab",)
    now = dataclasses.replace(now, installed=dataclasses.replace(now.installed, leftovers=left))
    (made,) = steps(wish(now), now)
    assert isinstance(made, Prune)
    assert made.paths == left
