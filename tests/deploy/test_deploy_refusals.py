"""What is in the way is told before anything is done: board, what, remedy; all of it at once."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from paper_board import TORCH, after, bundle, facts, goods, private, settings, wished

from prism_edge.deploy.facts import (
    Facts,
    Identity,
    Network,
    PythonFacts,
    Storage,
    TorchFacts,
    UserFacts,
)
from prism_edge.deploy.steps import steps
from prism_edge.errors import ClusterError
from prism_edge.mesh import MeshSettings


def torch(**changes: Any) -> TorchFacts:
    return dataclasses.replace(facts().torch, **changes)


def python(version: str, *, venv: bool = True) -> PythonFacts:
    return PythonFacts(executable="/usr/bin/python3", version=version, venv=venv)


def refusal(now: Facts, **parts: Any) -> str:
    with pytest.raises(ClusterError) as caught:
        steps(wished(now, **parts), now)
    return str(caught.value)


XAVIER = Identity(
    model="Xavier",
    l4t="35.4.1",
    jetpack="5.1.2",
    architecture="aarch64",
    kernel="",
    system="",
    hostname="",
)
PC = dataclasses.replace(XAVIER, model=None, l4t=None, jetpack=None, architecture="x86_64")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"python": None},
            ["python3 does not run", "`sudo apt-get install python3"],
        ),
        (
            {"python": python("3.8.10"), "identity": XAVIER},
            ["Python 3.8.10, where 3.10 is the oldest", "JetPack 6"],
        ),
        (
            {"python": python("3.10.12", venv=False)},
            ["cannot make environments", "python3.10-venv"],
        ),
        (
            {"user": UserFacts(name="joe", groups=(), sudo="none")},
            ["joe may not become root", "`sudo usermod -aG sudo joe`"],
        ),
        (
            {
                "user": UserFacts(
                    name="joe",
                    groups=(),
                    sudo="password",
                    no_root="board edge-1: sudo wants a password",
                )
            },
            ["sudo wants a password"],
        ),
        (
            {"torch": torch(distributed=False)},
            [f"this PyTorch ({TORCH}) was built without torch.distributed", "Jetson AI Lab"],
        ),
        ({"torch": torch(gloo=False)}, ["built without torch.distributed/GLOO"]),
        (
            {"torch": torch(location="/home/joe/.local/lib/python3.10/site-packages")},
            ["home directory", "(/home/joe/.local/lib", "for all users"],
        ),
        (
            {"torch": torch(error="libcusparseLt.so.0: cannot open shared object file")},
            ["does not work: libcusparseLt.so.0", "install libcusparse-lt"],
        ),
        ({"torch": TorchFacts()}, [f"a board with torch {TORCH}, it has none", "deploy bundle"]),
        (
            {"torch": torch(pins={"torch": "2.4.0a0+07cecf4168.nv24.5", "numpy": "1.26.4"})},
            [f"a board with torch {TORCH}, it has 2.4.0a0+07cecf4168.nv24.5"],
        ),
        ({"python": python("3.12.3")}, ["for Python 3.10, the board has 3.12", "deploy bundle"]),
        ({"identity": PC}, ["for aarch64, the board is x86_64"]),
        (
            {"storage": Storage(free_bytes=200 << 20)},
            ["200 MiB are free", "257 MiB are needed", "make room"],
        ),
        (
            {"storage": Storage(free_bytes=20 << 30, data_free_bytes=0)},
            ["0 MiB are free where models go"],
        ),
    ],
)
def test_what_cannot_be_is_refused(changes: dict[str, Any], words: list[str]) -> None:
    said = refusal(facts(**changes))
    assert said.startswith("board edge-1: ")
    for word in words:
        assert word in said


def test_a_board_alone_needs_no_distributed_torch() -> None:
    now = facts(torch=torch(distributed=False, gloo=False))
    assert steps(wished(now, cluster=settings(boards=1)), now)


def test_what_nobody_knows_is_no_obstacle() -> None:
    now = facts(storage=Storage(), torch=torch(distributed=None, gloo=None, location=None))
    assert steps(wished(now), now)


def test_a_bundle_without_torch_for_a_board_without_torch_is_refused() -> None:
    now = facts(torch=TorchFacts())
    said = refusal(now, packed=bundle(pins={}))
    assert "there would be no torch" in said
    assert "--torch" in said


def test_the_bundle_may_bring_torch_where_there_is_none() -> None:
    now = facts(torch=TorchFacts())
    assert steps(wished(now, packed=bundle(own_torch=False)), now)


def test_a_bundle_never_replaces_torch_for_a_gpu() -> None:
    said = refusal(facts(), packed=bundle(own_torch=False))
    assert "CUDA 12.6" in said
    assert "deploy bundle --cluster cluster.toml --limit edge-1" in said


@pytest.mark.parametrize("mesh", ["conf", None])
def test_a_mesh_needs_wireguard(mesh: str | None) -> None:
    now = facts(network=Network(wireguard="none", wireguard_why="no /dev/net/tun"))
    if mesh is None:
        assert steps(wished(now, own=private(mesh)), now)
        return
    meshed = settings(mesh=MeshSettings(subnet="10.99.0.0/24"))
    said = refusal(now, own=private(mesh), cluster=meshed)
    assert "there is no WireGuard: no /dev/net/tun" in said
    assert "remove [mesh]" in said


def test_boards_that_were_mixed_up_are_told_apart() -> None:
    now = facts("edge-2")
    there = after(now, steps(wished(now), now))
    said = refusal(dataclasses.replace(there, board="edge-1"))
    assert said.startswith("board edge-1: this is the board that was deployed to as edge-2")
    assert "`ssh`" in said


def test_everything_is_told_at_once() -> None:
    now = facts(python=python("3.8.10"), user=UserFacts(name="joe", groups=(), sudo="none"))
    assert len(refusal(now).splitlines()) == 2
    small = dataclasses.replace(facts(), torch=torch(gloo=False), storage=Storage(free_bytes=0))
    assert len(refusal(small, sent=goods()).splitlines()) == 2


def test_a_full_disk_does_not_keep_a_finished_board_from_being_finished() -> None:
    now = facts()
    now = after(now, steps(wished(now), now))
    full = dataclasses.replace(now, storage=Storage(free_bytes=0))
    assert steps(wished(full), full) == ()
