"""What a measurement hands on as it goes: rows, how far it is, and what the user should know.

A ``key`` names what is finished: it is kept at once, and not measured again by a run that resumes.
Without one a warning is true of this run only, unless it is lasting. Keys are texts:
``link/edge-1/edge-2/oneway/4096``.
"""

from __future__ import annotations

from dataclasses import dataclass

from prism_edge.tables.rows import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Something has been measured. ``weight_s``: how much of the sweep's weight it was.

    ``key``: the finished cell (table, board, what, round); empty when nothing is finished by it.
    ``lasting``: the warning is about rows that are kept, and kept with them.
    ``cut``: the time was up, and ``warning`` says what of the link is missing.
    """

    text: str
    key: str = ""
    rows: tuple[Row, ...] = ()
    weight_s: float = 0.0
    warning: str | None = None
    lasting: bool = False
    cut: bool = False
