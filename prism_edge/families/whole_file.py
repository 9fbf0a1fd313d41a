"""Files that are replaced at once or not at all, and are on the disk when they are."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from prism_edge.errors import ModelError


def write(path: Path, content: bytes) -> None:
    """The file holds ``content``, all of it or what it held before.

    Raises ``ModelError`` when it cannot be written.
    """
    partial = path.with_name(f"{path.name}.partial")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise ModelError(
            f"{path}: cannot be written ({error.strerror}); what was there is whole: put it right, "
            f"and the same command goes on"
        ) from error
