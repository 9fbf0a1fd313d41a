"""Cost tables: the only door between measuring and deciding. ``docs/profiles.md`` is the format.

A profile is a directory: ``profile.toml`` says what was measured, where and when; five CSV files
hold every raw repeat. Units are in the column names, SI. Beside them lies the log of a run that has
not ended. What ``read`` returns was checked, or it raised ``TableError`` by file and line; nothing
is ever guessed.
"""

from prism_edge.tables.files import write
from prism_edge.tables.reading import read
from prism_edge.tables.rows import (
    AccuracyRow,
    BoardInfo,
    ComputeRow,
    LinkRow,
    ModelEntry,
    Profile,
    RequestRow,
    StagingRow,
    applies,
)

__all__ = [
    "AccuracyRow",
    "BoardInfo",
    "ComputeRow",
    "LinkRow",
    "ModelEntry",
    "Profile",
    "RequestRow",
    "StagingRow",
    "applies",
    "read",
    "write",
]
