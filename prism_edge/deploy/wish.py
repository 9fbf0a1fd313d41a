"""What a board shall be, and the id of the release that makes it so. Pure, given digests of files.

An id is over everything that is inside a release but the board's name, so that the same id is the
same release, and equal boards of a cluster have equal ids.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from prism_edge.deploy import paths
from prism_edge.deploy.board_toml import on_board, toml_of
from prism_edge.deploy.bundle import Bundle
from prism_edge.deploy.facts import Facts
from prism_edge.deploy.step import Local
from prism_edge.errors import SettingsError
from prism_edge.settings import BoardSettings, Settings

TOML = "cluster.toml"
RECIPE = 1  # of how an environment is made; another number gives every environment another id
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*", re.ASCII)  # part of a path and of an argument


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedFile:
    """A file outside of releases. ``restarts``: the daemon reads it once, when it starts."""

    path: str
    content: bytes
    mode: int = 0o644
    owner: str = "root:root"
    secret: bool = False
    restarts: bool = False

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model's files here; ``digest``: over all of them."""

    name: str
    digest: str
    files: Mapping[str, Local]

    @property
    def directory(self) -> str:
        """The name of its directory below ``paths.MODELS``."""
        return paths.model(self.name, self.digest).removeprefix(f"{paths.MODELS}/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Goods:
    """What there is here for every board. ``tables``: of the cluster's profile, by file name;
    ``unit``: the service's unit file; ``files``: what each board gets beside releases."""

    models: tuple[Model, ...]
    tables: Mapping[str, Local]
    unit: bytes
    files: tuple[SharedFile, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mesh:
    """The board's part of the mesh; ``files``: all that makes it, without any private key."""

    interface: str
    files: tuple[SharedFile, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """One board as it shall be. ``etc``: the files of its release."""

    settings: Settings
    board: BoardSettings
    python: str
    bundle: Bundle
    own_torch: bool
    pins: Mapping[str, str]
    environment: str
    release: str
    etc: Mapping[str, bytes]
    manifest: Mapping[str, object]
    models: tuple[Model, ...]
    tables: Mapping[str, Local]
    files: tuple[SharedFile, ...]
    mesh: Mesh | None = None

    @property
    def rereads(self) -> bool:
        """Its daemon must be started again to know new tables."""
        return self.board.name == self.settings.leader or self.board.device != "cpu"


def wish_of(
    settings: Settings,
    board: BoardSettings,
    facts: Facts,
    bundle: Bundle,
    goods: Goods,
    files: Sequence[SharedFile] = (),
    mesh: Mesh | None = None,
) -> Wish:
    """What ``board`` shall be; whether that can be done is for ``steps`` to say.

    ``facts``: which interpreter and torch of its own releases are built on. ``files``, ``mesh``:
    what only this board gets.
    """
    own_torch = "torch" in bundle.pins
    python = "" if facts.python is None else facts.python.executable
    pins = dict(facts.torch.pins) if own_torch else {}
    environment = environment_id(
        f"{bundle.python} {python}", bundle.machine, bundle.third_party, pins, own_torch
    )
    there = on_board(settings, {model.name: model.digest for model in goods.models})
    shared = {TOML: toml_of(there).encode(), paths.UNIT: goods.unit}
    inside: dict[str, object] = {
        "version": bundle.version,
        "cluster": settings.name,
        "python": python,
        "torch": pins.get("torch"),
        "environment": environment,
        "wheel": bundle.wheels[bundle.own].sha256,
        "etc": {name: hashlib.sha256(content).hexdigest() for name, content in shared.items()},
        "models": {model.name: paths.model(model.name, model.digest) for model in goods.models},
    }
    text = json.dumps(inside, sort_keys=True)
    release = f"{bundle.version}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    return Wish(
        settings=settings,
        board=board,
        python=python,
        bundle=bundle,
        own_torch=own_torch,
        pins=pins,
        environment=environment,
        release=release,
        etc={**shared, "board.env": f"PRISM_EDGE_BOARD={board.name}\n".encode()},
        manifest={"id": release, "board": board.name, **inside},
        models=goods.models,
        tables=goods.tables,
        files=(*goods.files, *files),
        mesh=mesh,
    )


def check_deployable(settings: Settings) -> None:
    """Boards of this cluster can be deployed to. Raises ``SettingsError``."""
    if settings.kind != "boards":
        raise SettingsError(
            f"cluster {settings.name} is of kind {settings.kind!r}: its boards are processes of "
            f'this machine; deploy is for kind = "boards"'
        )
    for what, names in (
        ("cluster", [settings.name]),
        ("boards", [board.name for board in settings.boards]),
        ("models", [model.name for model in settings.models]),
    ):
        for name in names:
            if not _PLAIN.fullmatch(name):
                raise SettingsError(
                    f"{what}: name = {name!r} would be part of a path on boards; allowed are "
                    f"letters, digits and any of _ . - after the first"
                )
    if not settings.models:
        raise SettingsError("no model to serve; list [[models]] with the directory it has here")


def environment_id(
    python: str,
    machine: str,
    wheels: Mapping[str, str],
    pins: Mapping[str, str],
    own_torch: bool,
) -> str:
    """The name of the environment with these ``wheels`` (file name to sha256; prism-edge's own is
    not among them): 12 hexadecimal digits, the same for the same content."""
    content = {
        "recipe": RECIPE,
        "python": python,
        "machine": machine,
        "wheels": dict(wheels),
        "pins": dict(pins),
        "own_torch": own_torch,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]
