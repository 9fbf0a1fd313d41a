"""What a bundle is made for, in pip's words: markers, platform tags, and which transformers go with
a torch. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from prism_edge.errors import SettingsError

MACHINES = ("aarch64", "x86_64")
# The minor version of glibc 2 in the systems that come with a Python: Ubuntu 22.04 (JetPack 6),
# Debian 12, Ubuntu 24.04 (JetPack 7). Any other Python was put on a system of unknown age.
GLIBC = {"3.10": 35, "3.11": 36, "3.12": 39}
GLIBC_UNKNOWN = 28
# The newest transformers whose floor for torch is met, by torch; below that it says "Disabling
# PyTorch" and has no models. From the releases' own metadata: 4.57 asks for torch 2.1, 5.0 for 2.2,
# 5.8 for 2.4, 5.20 for 2.6, 4.46 for none.
TRANSFORMERS = (("2.6", ""), ("2.4", "<5.15"), ("2.1", "<5"), ("0", "<4.47"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Boards that one bundle serves. ``python``: e.g. ``3.10``; ``machine``: as ``uname -m`` says.
    ``pins``: exact versions of the packages that they have, torch among them. ``torch``: the
    version to bring along, where they have none; then nothing is pinned."""

    python: str
    machine: str
    pins: Mapping[str, str] = field(default_factory=dict)
    torch: str | None = None

    def __post_init__(self) -> None:
        if not re.fullmatch(r"3\.\d\d", self.python):
            raise SettingsError(f"python = {self.python!r}, expected 3.10 or later, as 3.N")
        if self.machine not in MACHINES:
            raise SettingsError(f"machine = {self.machine!r}, allowed is {' or '.join(MACHINES)}")
        if self.torch and self.pins:
            raise SettingsError(
                "a bundle either leaves the boards' torch and numpy alone (--have) or brings both "
                "(--torch), not one of each"
            )
        if not self.torch and "torch" not in self.pins:
            raise SettingsError(
                "whose torch? --have torch==VERSION leaves the boards' own alone (prism-edge check "
                "shows its version), --torch torch==VERSION brings one along; pip may not choose"
            )


def exact(text: str) -> tuple[str, str]:
    """Name and version of ``NAME==VERSION``, both normalised (nv24.08 is nv24.8)."""
    try:
        found = Requirement(text)
        (one,) = found.specifier
        if one.operator != "==" or found.extras or found.marker or found.url:
            raise ValueError
        return canonicalize_name(found.name), str(Version(one.version))
    except (InvalidRequirement, InvalidVersion, ValueError):
        raise SettingsError(f"{text!r}: expected NAME==VERSION, such as torch==2.13.0") from None


def markers(target: Target) -> dict[str, str]:
    """What requirements' markers see there; of the Python only the minor version is known."""
    return {
        "implementation_name": "cpython",
        "implementation_version": f"{target.python}.0",
        "os_name": "posix",
        "platform_machine": target.machine,
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_system": "Linux",
        "platform_version": "",
        "python_full_version": f"{target.python}.0",
        "python_version": target.python,
        "sys_platform": "linux",
    }


def platforms(target: Target) -> tuple[str, ...]:
    """Platform tags that install there, best first: every manylinux its C library allows, and what
    somebody built on such a board."""
    newest = GLIBC.get(target.python, GLIBC_UNKNOWN)
    oldest = 17 if target.machine == "aarch64" else 5
    many = [f"manylinux_2_{minor}" for minor in range(newest, oldest - 1, -1)]
    older = ["manylinux2014"]
    if target.machine == "x86_64":
        older += ["manylinux2010", "manylinux1"]
    return tuple(f"{tag}_{target.machine}" for tag in (*many, *older, "linux"))


def constraints(target: Target) -> tuple[str, ...]:
    """Requirements besides prism-edge's own that the bundle must meet."""
    torch = target.torch or target.pins["torch"]
    newest = transformers_for(torch)
    exactly = [f"torch=={torch}"] if target.torch else [f"{k}=={v}" for k, v in target.pins.items()]
    return (*exactly, *([f"transformers{newest}"] if newest else []))


def transformers_for(torch: str) -> str:
    """Which transformers load this torch, as a specifier; empty: any, as far as we know."""
    version = Version(torch)
    return next((limit for floor, limit in TRANSFORMERS if version >= Version(floor)), "")
