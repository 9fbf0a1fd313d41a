"""A bundle holds all that a board without an index installs: wheels, each with its hash.

A directory: ``bundle.json`` and ``wheels/*.whl``. It is complete once it exists.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from packaging.version import InvalidVersion, Version

from prism_edge.deploy import content as files
from prism_edge.deploy.step import Local
from prism_edge.errors import ClusterError

SCHEMA = 1
FILE = "bundle.json"
WHEELS = "wheels"
AGAIN = "make it again with prism-edge deploy bundle"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wheel:
    """One wheel, without its directory. ``unpacked_bytes``: what its files take on a disk."""

    sha256: str
    bytes: int
    unpacked_bytes: int
    name: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """``wheels`` by file name; ``own``: that of prism-edge. ``pins``: what the boards have of their
    own, with exact versions; empty: torch is inside."""

    directory: Path
    python: str
    machine: str
    pins: Mapping[str, str]
    wheels: Mapping[str, Wheel]
    own: str

    @property
    def version(self) -> str:
        """Of the prism-edge inside."""
        return self.wheels[self.own].version

    @property
    def third_party(self) -> dict[str, str]:
        """sha256 by file name of everything but prism-edge."""
        return {file: wheel.sha256 for file, wheel in self.wheels.items() if file != self.own}

    def local(self, file: str) -> Local:
        """Where a wheel lies here, and what was promised of it."""
        wheel = self.wheels[file]
        path = self.directory / WHEELS / file
        return Local(path=path, sha256=wheel.sha256, bytes=wheel.bytes)

    def problem(self, file: str) -> str | None:
        """What is wrong with a wheel as it lies there; None: it is what was promised."""
        promised = self.local(file)
        if not promised.path.is_file():
            return "is missing"
        size = promised.path.stat().st_size
        if size != promised.bytes:
            return f"has {size} bytes and not {promised.bytes}"
        found = files.local(promised.path).sha256
        return None if found == promised.sha256 else f"has another sha256 ({found[:12]}...)"

    def misfits(self, python: str, machine: str, pins: Mapping[str, str]) -> list[str]:
        """Why it is not for a board with this Python (3.10.12), machine and own packages."""
        found = []
        if self.python != (version := ".".join(python.split(".")[:2])):
            found.append(f"Python {self.python}, the board has {version or 'none'}")
        if self.machine != machine:
            found.append(f"{self.machine}, the board is {machine}")
        for name, meant in sorted(self.pins.items()):
            if name not in pins or not same(pins[name], meant):
                has = pins.get(name, "none")
                found.append(f"a board with {name} {meant}, it has {has}")
        return found


def same(one: str, other: str) -> bool:
    """Two spellings of one version, nv24.08 and nv24.8 among them."""
    try:
        return Version(one) == Version(other)
    except InvalidVersion:
        return one == other


def write_bundle(bundle: Bundle, directory: Path) -> None:
    """bundle.json in ``directory`` says what the bundle has."""
    content = {
        "schema": SCHEMA,
        "python": bundle.python,
        "machine": bundle.machine,
        "pins": dict(bundle.pins),
        "prism_edge": bundle.own,
        "wheels": {file: asdict(wheel) for file, wheel in sorted(bundle.wheels.items())},
    }
    text = json.dumps(content, indent=1, sort_keys=True) + "\n"
    (directory / FILE).write_text(text, encoding="utf-8")


def read_bundle(directory: Path) -> Bundle:
    """The bundle in ``directory``, as promised: no wheel is opened, ``verify`` does that."""
    path = directory / FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content.get("schema") != SCHEMA:
            raise ClusterError(
                f"{path}: schema {content.get('schema')!r}, this prism-edge reads {SCHEMA}; {AGAIN}"
            )
        wheels = {str(file): read_wheel(wheel) for file, wheel in content["wheels"].items()}
        bundle = Bundle(
            directory=directory,
            python=str(content["python"]),
            machine=str(content["machine"]),
            pins={str(name): str(version) for name, version in content["pins"].items()},
            wheels=wheels,
            own=str(content["prism_edge"]),
        )
    except OSError as error:
        raise ClusterError(f"{directory}: no bundle ({error.strerror}: {FILE}); {AGAIN}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ClusterError(f"{path}: not what a bundle has ({error!r}); {AGAIN}") from error
    outside = [file for file in wheels if Path(file).name != file or not file.endswith(".whl")]
    if outside or bundle.own not in wheels:
        raise ClusterError(f"{path}: {(outside or [bundle.own])[0]!r} is no wheel of it; {AGAIN}")
    return bundle


def read_wheel(content: Mapping[str, Any]) -> Wheel:
    """One entry of bundle.json."""
    kinds = {"sha256": str, "bytes": int, "unpacked_bytes": int, "name": str, "version": str}
    for name in (one.name for one in fields(Wheel)):
        if not isinstance(content[name], kinds[name]):
            raise ValueError(f"{name} = {content[name]!r}")
    return Wheel(**content)
