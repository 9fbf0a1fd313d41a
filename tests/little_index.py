"""A folder of tiny wheels that stands in for an index: pip works on it offline, in a second."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Mapping
from email.parser import HeaderParser
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from prism_edge.deploy.repack import repack
from prism_edge.deploy.wheel_file import write_wheel


def write(
    directory: Path,
    name: str,
    version: str,
    requires: Iterable[str] = (),
    files: Mapping[str, bytes] | None = None,
) -> Path:
    """A wheel with nothing in it but what is given."""
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    lines += [f"Requires-Dist: {one}" for one in requires]
    directory.mkdir(parents=True, exist_ok=True)
    return write_wheel(
        directory, name, version, files or {}, {"METADATA": "\n".join([*lines, ""]).encode()}
    )


def requirements_in(wheel: Path) -> tuple[Requirement, ...]:
    """What the wheel's metadata requires, markers included."""
    with zipfile.ZipFile(wheel) as archive:
        (path,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        text = archive.read(path).decode()
    return tuple(map(Requirement, HeaderParser().parsestr(text).get_all("Requires-Dist") or ()))


def fill(directory: Path, work: Path, **requires: Iterable[str]) -> None:
    """What prism-edge needs, each in version 99 (transformers in some it chooses from), and what
    those packages require. torch is in it as a trap: version 99 must never be taken."""
    work.mkdir(parents=True, exist_ok=True)
    needed = {one.name for one in requirements_in(repack(work))} | set(requires)
    for name in sorted(needed):
        write(directory, name, "99", requires.get(name.replace("-", "_"), ()))
    for version in ("4.46.3", "4.57.6", "5.14.0", "5.20.0"):
        write(directory, "transformers", version)
    (directory / "transformers-99-py3-none-any.whl").unlink()


def only(monkeypatch: pytest.MonkeyPatch, index: Path) -> None:
    """pip sees that folder and nothing else, whatever this machine's configuration says."""
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
