"""A profile without its rows, as plain values for TOML and JSON, and back. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from prism_edge.errors import TableError
from prism_edge.tables.checked import build
from prism_edge.tables.rows import SCHEMA, TABLES, Profile


def head_of(profile: Profile) -> dict[str, Any]:
    """What ``profile`` says besides its rows; nothing that is None."""
    head = {key: value for key, value in asdict(profile).items() if key not in TABLES}
    for board in head["boards"]:
        if board["idle_w"] is None:
            del board["idle_w"]
    return head


def profile_of(head: Mapping[str, Any]) -> Profile:
    """The profile that ``head`` describes, without rows. Raises ``TableError``."""
    if head.get("schema") != SCHEMA:
        raise TableError(f"schema is {head.get('schema')!r}, this version reads {SCHEMA}")
    return build(Profile, head, exclude=tuple(TABLES))
