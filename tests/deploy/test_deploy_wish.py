"""The id of a release is over everything inside it, and over nothing else."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from paper_board import TORCH, bundle, facts, goods, private, settings, wished

from prism_edge.deploy.facts import PythonFacts
from prism_edge.deploy.wish import check_deployable
from prism_edge.errors import SettingsError
from prism_edge.settings import ModelSettings, PolicySettings, ServeSettings, read_settings

OTHER_TORCH = dataclasses.replace(facts().torch, pins={"torch": "2.4.0", "numpy": "1.26.4"})
OTHER_PYTHON = PythonFacts(executable="/opt/python/bin/python3", version="3.10.12", venv=True)


@pytest.mark.parametrize(
    "parts",
    [
        {"packed": bundle(version="0.2.0")},
        {"packed": bundle(code="other")},
        {"packed": bundle(packages=["pandas"])},
        {"packed": bundle(own_torch=False)},
        {"sent": goods(model="other")},
        {"sent": goods(unit="other")},
        {"cluster": settings(policy=PolicySettings(exact=True))},
        {"cluster": settings(serve=ServeSettings(port=8001))},
        {"cluster": settings(boards=3)},
        {"now": facts(torch=OTHER_TORCH)},
        {"now": facts(python=OTHER_PYTHON)},
    ],
)
def test_another_input_is_another_release(parts: dict[str, Any]) -> None:
    assert wished(**parts).release != wished().release


@pytest.mark.parametrize(
    "parts",
    [
        {},
        {"now": facts("edge-2")},
        {"sent": goods(tables="other")},
        {"sent": goods(token="other")},
        {"own": private("mesh")},
        {"packed": bundle(directory=Path("/elsewhere"))},
    ],
)
def test_what_lies_beside_releases_is_not_in_their_id(parts: dict[str, Any]) -> None:
    assert wished(**parts).release == wished().release


def test_environments_are_shared_by_releases_of_the_same_packages() -> None:
    one, other = wished(), wished(packed=bundle(version="0.2.0", code="other"))
    assert one.environment == other.environment
    assert one.environment != wished(packed=bundle(packages=["pandas"])).environment


def test_a_release_says_what_it_is_made_of(tmp_path: Path) -> None:
    wish = wished()
    assert wish.release.startswith("0.1.0-")
    assert wish.manifest["id"] == wish.release
    assert wish.manifest["torch"] == TORCH
    assert wish.manifest["models"] == {
        "vit": f"/var/lib/prism-edge/models/{wish.models[0].directory}"
    }
    assert wish.etc["board.env"] == b"PRISM_EDGE_BOARD=edge-1\n"
    (tmp_path / "cluster.toml").write_bytes(wish.etc["cluster.toml"])
    assert read_settings(tmp_path / "cluster.toml").model("vit").path.name == (
        wish.models[0].directory
    )


def test_new_tables_mean_something_to_the_leader_and_to_gpus() -> None:
    cluster = settings()
    cuda = dataclasses.replace(cluster.boards[1], device="cuda")
    mixed = dataclasses.replace(cluster, boards=(cluster.boards[0], cuda))
    assert wished().rereads
    assert not wished(facts("edge-2")).rereads
    assert wished(facts("edge-2"), cluster=mixed).rereads


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"kind": "lab"}, "of kind 'lab'"),
        ({"name": "a/b"}, "cluster: name = 'a/b' would be part of a path"),
        ({"name": "..x"}, "cluster: name"),
        ({"models": (ModelSettings(name="a b", path=Path("x")),)}, "models: name = 'a b'"),
        ({"models": ()}, "no model to serve"),
    ],
)
def test_a_cluster_that_cannot_be_deployed_is_refused(changes: dict[str, Any], words: str) -> None:
    check_deployable(settings())
    with pytest.raises(SettingsError, match=words):
        check_deployable(settings(**changes))
