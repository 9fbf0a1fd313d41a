"""Who logs in there."""

from __future__ import annotations

import re

from prism_edge.deploy.facts import Sudo

ID = "id -un; id -u; id -Gn"
FREE = "sudo -kn true"  # without a password, and without one that was given a moment ago

ADMINISTRATORS = frozenset({"sudo", "admin", "wheel"})


def login(text: str) -> tuple[str, bool, tuple[str, ...]] | None:
    """Name, whether it is root, and groups."""
    found = re.fullmatch(r"(\S+)\n(\d{1,10})\n(.+)\n?", text, re.ASCII)
    return (found[1], int(found[2]) == 0, tuple(found[3].split())) if found else None


def sudo(*, is_root: bool, free: bool, root: bool, groups: tuple[str, ...]) -> Sudo:
    """How the login becomes root. ``free``: sudo asked for nothing; ``root``: the runner did it.

    Without either, somebody in a group of administrators could with a password that was not given;
    of anybody else sudo does not tell.
    """
    if is_root:
        return "root"
    if root and free:
        return "free"
    return "password" if root or ADMINISTRATORS.intersection(groups) else "none"
