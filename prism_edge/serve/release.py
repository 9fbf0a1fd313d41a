"""Which release this process was started from, where it was deployed."""

from __future__ import annotations

import json
from pathlib import Path


def release_of(prefix: Path) -> str | None:
    """The id of the release whose environment is at ``prefix``; None: none was deployed there."""
    try:
        manifest = json.loads((prefix.resolve().parent / "release.json").read_text("utf-8"))
        return str(manifest["id"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
