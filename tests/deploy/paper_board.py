"""A board on paper: facts of one, wishes for it, and what steps make of the facts."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from prism_edge.deploy import paths
from prism_edge.deploy.bundle import Bundle, Wheel
from prism_edge.deploy.facts import (
    Clock,
    Facts,
    FileState,
    Identity,
    Installed,
    Jtop,
    Network,
    PowerMode,
    PythonFacts,
    Storage,
    TorchFacts,
    UserFacts,
)
from prism_edge.deploy.step import (
    Activate,
    Local,
    MakeEnvironment,
    MakeMeshKey,
    MakeRelease,
    MakeUser,
    Prune,
    PutFile,
    SendModel,
    SendTables,
    SendWheels,
    StartMesh,
    Step,
)
from prism_edge.deploy.wish import Goods, Mesh, Model, SharedFile, Wish, wish_of
from prism_edge.settings import BoardSettings, ModelSettings, Settings

TORCH = "2.5.0a0+872d972e41.nv24.8"
GIB = 1 << 30


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def facts(name: str = "edge-1", **changes: Any) -> Facts:
    """An Orin Nano with JetPack 6 and its own torch, on which nothing was deployed."""
    found = Facts(
        board=name,
        identity=Identity(
            model="NVIDIA Jetson Orin Nano",
            architecture="aarch64",
            kernel="",
            system="",
            hostname="",
        ),
        python=PythonFacts(executable="/usr/bin/python3", version="3.10.12", venv=True),
        torch=TorchFacts(
            version=TORCH,
            location="/usr/local/lib/python3.10/dist-packages",
            cuda="12.6",
            cuda_available=True,
            distributed=True,
            gloo=True,
            pins={"torch": TORCH, "numpy": "1.26.4"},
        ),
        power=PowerMode(),
        network=Network(wireguard="userspace"),
        storage=Storage(free_bytes=20 * GIB, total_bytes=64 * GIB),
        clock=Clock(),
        user=UserFacts(name="nvidia", groups=("sudo",), sudo="free"),
        jtop=Jtop(),
        installed=Installed(),
    )
    return dataclasses.replace(found, **changes)


def settings(boards: int = 2, **changes: Any) -> Settings:
    found = Settings(
        name="home",
        leader="edge-1",
        profiles=Path("/here/profiles"),
        boards=tuple(
            BoardSettings(name=f"edge-{n}", address=f"10.0.0.{n}", ssh=f"nvidia@10.0.0.{n}")
            for n in range(1, boards + 1)
        ),
        models=(ModelSettings(name="vit", path=Path("/here/vit")),),
    )
    return dataclasses.replace(found, **changes)


def wheel(name: str, version: str, content: str = "") -> tuple[str, Wheel]:
    file = f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
    return file, Wheel(
        sha256=sha(f"{file} {content}"),
        bytes=1000,
        unpacked_bytes=3000,
        name=name,
        version=version,
    )


def bundle(
    *,
    version: str = "0.1.0",
    code: str = "one",
    packages: Iterable[str] = ("transformers",),
    own_torch: bool = True,
    **changes: Any,
) -> Bundle:
    own, ours = wheel("prism-edge", version, code)
    inside = [*packages, *(() if own_torch else ("torch",))]
    found = Bundle(
        directory=Path("/here/bundle"),
        python="3.10",
        machine="aarch64",
        pins={"torch": TORCH, "numpy": "1.26.4"} if own_torch else {},
        wheels={own: ours, **dict(wheel(name, "1.0") for name in inside)},
        own=own,
    )
    return dataclasses.replace(found, **changes)


def local(content: str) -> Local:
    return Local(path=Path("/here/file"), sha256=sha(content), bytes=len(content))


def goods(
    *, model: str = "weights", tables: str = "tables", unit: str = "unit", token: str = "secret"
) -> Goods:
    files = {"config.json": local("{}"), "model.safetensors": local(model)}
    return Goods(
        models=(Model(name="vit", digest=sha(model), files=files),),
        tables={"profile.toml": local(tables)} if tables else {},
        unit=unit.encode(),
        files=(
            SharedFile(path=paths.ACTIVATE, content=b"#!/bin/sh\n", mode=0o755),
            SharedFile(
                path=paths.TOKEN,
                content=token.encode(),
                mode=0o600,
                owner="prism-edge:prism-edge",
                secret=True,
                restarts=True,
            ),
        ),
    )


def private(mesh: str | None = None) -> Mesh | None:
    if mesh is None:
        return None
    file = SharedFile(path="/etc/wireguard/prism0.conf", content=mesh.encode(), mode=0o600)
    return Mesh(interface="prism0", files=(file,))


def wished(
    now: Facts | None = None,
    *,
    cluster: Settings | None = None,
    packed: Bundle | None = None,
    sent: Goods | None = None,
    own: Mesh | None = None,
) -> Wish:
    now, cluster = now or facts(), cluster or settings()
    board = cluster.board(now.board)
    return wish_of(cluster, board, now, packed or bundle(), sent or goods(), mesh=own)


def after(now: Facts, steps: Iterable[Step]) -> Facts:
    """The board once the steps are done."""
    for step in steps:
        now = dataclasses.replace(now, installed=_after(now.installed, step))
    return now


def _after(now: Installed, step: Step) -> Installed:
    match step:
        case MakeUser():
            return dataclasses.replace(now, user=True, groups=step.groups)
        case PutFile():
            assert now.user or step.owner == "root:root", "owned by a user that is not there"
            digest = hashlib.sha256(step.content).hexdigest()
            state = FileState(sha256=digest, mode=step.mode, owner=step.owner)
            return dataclasses.replace(now, files={**now.files, step.path: state})
        case SendWheels():
            sent = {name: file.sha256 for name, file in step.wheels.items()}
            return dataclasses.replace(now, wheels={**now.wheels, **sent})
        case MakeEnvironment():
            for name, sha256 in step.wheels.items():
                assert now.wheels.get(name) == sha256, f"{name} is not there"
            return dataclasses.replace(now, environments=(*now.environments, step.id))
        case SendModel():
            name = f"{step.name}-{step.digest[:12]}"
            return dataclasses.replace(now, models=(*now.models, name))
        case SendTables():
            below = f"{step.cluster}/"
            kept = {path: v for path, v in now.profiles.items() if not path.startswith(below)}
            sent = {f"{below}{name}": file.sha256 for name, file in step.files.items()}
            return dataclasses.replace(now, profiles={**kept, **sent})
        case MakeMeshKey():
            return dataclasses.replace(now, mesh_key="KEY=")
        case StartMesh():
            assert now.mesh_key is not None
            return dataclasses.replace(now, mesh_active=True, meshes=(step.interface,))
        case MakeRelease():
            assert step.environment in now.environments
            assert now.wheels.get(step.wheel) == step.wheel_sha256
            _models_are_there(now, step.manifest)
            manifests: Mapping[str, Mapping[str, object]] = {
                **now.manifests,
                step.id: step.manifest,
            }
            return dataclasses.replace(now, releases=(*now.releases, step.id), manifests=manifests)
        case Activate():
            assert step.id in now.releases
            assert step.old == now.current
            if step.back:
                assert step.id == now.previous
                return dataclasses.replace(now, current=step.id, previous=None, active="active")
            return dataclasses.replace(
                now,
                current=step.id,
                previous=now.previous if step.restart else now.current,
                pending=None,
                active="active",
                enabled=True,
            )
        case Prune():
            return _pruned(now, step.paths)


def _models_are_there(now: Installed, manifest: Mapping[str, object]) -> None:
    models = manifest["models"]
    assert isinstance(models, dict)
    assert {path.rpartition("/")[2] for path in models.values()} <= set(now.models)


def _pruned(now: Installed, gone: Iterable[str]) -> Installed:
    for path in gone:
        above, _, name = path.rpartition("/")
        if above == paths.RELEASES:
            left = tuple(item for item in now.releases if item != name)
            manifests = {key: value for key, value in now.manifests.items() if key != name}
            now = dataclasses.replace(now, releases=left, manifests=manifests)
        elif above == paths.WHEELS:
            wheels = {key: value for key, value in now.wheels.items() if key != name}
            now = dataclasses.replace(now, wheels=wheels)
        elif above == paths.ENVIRONMENTS:
            left = tuple(item for item in now.environments if item != name)
            now = dataclasses.replace(now, environments=left)
        elif path == paths.mesh_conf("prism0"):
            now = dataclasses.replace(now, mesh_active=False, meshes=())
        elif path in now.files:
            files = {key: value for key, value in now.files.items() if key != path}
            now = dataclasses.replace(now, files=files)
        elif path in now.leftovers:
            now = dataclasses.replace(now, leftovers=())
        else:
            assert above == paths.MODELS, path
            left = tuple(item for item in now.models if item != name)
            now = dataclasses.replace(now, models=left)
    return now
