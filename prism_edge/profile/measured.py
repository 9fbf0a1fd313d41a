"""What a measurement hands on as it goes: rows, how far it is, and what the user should know."""

from __future__ import annotations

from dataclasses import dataclass

from prism_edge.tables.rows import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Something has been measured. ``weight_s``: how much of the sweep's weight it was."""

    text: str
    rows: tuple[Row, ...] = ()
    weight_s: float = 0.0
    warning: str | None = None
