"""Whether wheels are what an environment needs, all of it and nothing else, without pip. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """What a wheel says of itself, or what a board has; what that requires is there as well."""

    version: str
    requires: tuple[Requirement, ...] = ()


def follow(
    packages: Mapping[str, Package], wanted: Iterable[Requirement], markers: Mapping[str, str]
) -> tuple[frozenset[str], tuple[str, ...]]:
    """The packages that ``wanted`` reaches, and a sentence per requirement that none meets.

    ``packages`` by normalised name; ``markers`` of the machine that they are for.
    """
    found: list[str] = []
    queue = [("prism-edge", one, "") for one in wanted]
    seen: set[tuple[str, str]] = set()  # a package and one of its extras, "" for none
    while queue:
        who, needed, extra = queue.pop(0)
        if needed.marker and not needed.marker.evaluate({**markers, "extra": extra}):
            continue
        name = canonicalize_name(needed.name)
        if name not in packages:
            found.append(f"{who} needs {plain(needed)}")
            continue
        package = packages[name]
        if not needed.specifier.contains(package.version, prereleases=True):
            found.append(f"{who} needs {plain(needed)}, and there is {name} {package.version}")
        for asked in {"", *needed.extras} - {one for at, one in seen if at == name}:
            seen.add((name, asked))
            queue += [(name, one, asked) for one in package.requires]
    return frozenset(name for name, _ in seen), tuple(dict.fromkeys(found))


def plain(needed: Requirement) -> str:
    """Name and versions, without the marker."""
    return f"{needed.name}{needed.specifier}"
