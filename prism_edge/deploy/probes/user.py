"""Who logs in there."""

from __future__ import annotations

import re

ID = "id -un; id -u; id -Gn"
FREE = "sudo -kn true"  # without a password, and without one that was given a moment ago

ADMINISTRATORS = frozenset({"sudo", "admin", "wheel"})


def login(text: str) -> tuple[str, bool, tuple[str, ...]] | None:
    """Name, whether it is root, and groups."""
    found = re.fullmatch(r"(\S+)\n(\d+)\n(.+)\n?", text, re.ASCII)
    return (found[1], int(found[2]) == 0, tuple(found[3].split())) if found else None
