"""One change to one board, as a value: what, why, and all that is needed to make it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias


@dataclass(frozen=True, slots=True, kw_only=True)
class Local:
    """A file here. ``sha256`` as promised by whoever made it, and checked before it is sent."""

    path: Path
    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeUser:
    """The dedicated user exists, in these groups as far as the board has them."""

    why: str
    groups: tuple[str, ...] = ("video", "render")


@dataclass(frozen=True, slots=True, kw_only=True)
class PutFile:
    """``path`` holds ``content``, which is not shown if ``secret``. ``owner``: ``user:group``."""

    why: str
    path: str
    content: bytes
    mode: int = 0o644
    owner: str = "root:root"
    secret: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SendWheels:
    """``paths.WHEELS`` holds these files, by file name."""

    why: str
    wheels: Mapping[str, Local]


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeEnvironment:
    """``paths.ENVIRONMENTS/id`` holds these wheels (file name to sha256), installed with ``python``
    of the board, whose own torch stays what it is. ``own_torch``: that one is used, with the exact
    versions ``pins``; otherwise torch is among the wheels."""

    why: str
    id: str
    python: str
    wheels: Mapping[str, str]
    own_torch: bool
    pins: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SendModel:
    """``paths.model(name, digest)`` holds these files, by relative path."""

    why: str
    name: str
    digest: str
    files: Mapping[str, Local]


@dataclass(frozen=True, slots=True, kw_only=True)
class SendTables:
    """``paths.PROFILES/cluster`` holds exactly these files of a profile, by name."""

    why: str
    cluster: str
    files: Mapping[str, Local]


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeMeshKey:
    """The board has a WireGuard key pair that never leaves it."""

    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StartMesh:
    """The mesh runs with its configuration, now and after a boot."""

    why: str
    interface: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeRelease:
    """``paths.release(id)`` is complete: a venv with ``wheel`` over ``environment``; ``etc``:
    the files of its etc/ by name; ``manifest``: what release.json holds. Nothing serves it yet."""

    why: str
    id: str
    environment: str
    python: str
    wheel: str
    wheel_sha256: str
    etc: Mapping[str, bytes]
    manifest: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Activate:
    """``paths.CURRENT`` is release ``id`` and the service has proved healthy; otherwise the board
    is back on ``old`` and serving, and this failed. ``restart``: the same release, new tables or
    secrets. ``back``: the switch from ``id`` to ``old`` is taken back, as if it had not been."""

    why: str
    id: str
    old: str | None
    restart: bool = False
    back: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Prune:
    """These paths, which no kept release needs, are gone."""

    why: str
    paths: tuple[str, ...]


Step: TypeAlias = (
    MakeUser
    | PutFile
    | SendWheels
    | MakeEnvironment
    | SendModel
    | SendTables
    | MakeMeshKey
    | StartMesh
    | MakeRelease
    | Activate
    | Prune
)
