"""A package that a board has of its own stands for itself in pip's resolution, and pip downloads
none: a wheel of metadata only, with the exact version, that never leaves this machine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from prism_edge.deploy.wheel_file import write_wheel


def write_stubs(directory: Path, pins: Mapping[str, str]) -> tuple[Path, ...]:
    """A stub per package of ``pins`` (name to version), in that order. They require nothing: what
    the board's own package needs is there with it."""
    return tuple(
        write_wheel(directory, name, version, {}, {"METADATA": metadata(name, version)})
        for name, version in pins.items()
    )


def metadata(name: str, version: str) -> bytes:
    """The least that pip accepts."""
    return f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode()
