"""What a reader of sound tables should still know: times of another unit, boards left out. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator

from prism_edge.tables.rows import Profile, Row, cell

# Repeats of one cell differ by 20 on a shared core (0.2 ms or a scheduler slice of 3.7 ms);
# seconds taken for milliseconds differ by 1000.
OFF = 300.0


def strange_times(rows: Iterable[tuple[int, Row]]) -> Iterator[tuple[int, str]]:
    """(line, why) of each time that cannot have the unit of most repeats of its cell."""
    cells: dict[tuple[object, ...], list[tuple[int, float]]] = {}
    for line, row in rows:
        latency_s = getattr(row, "latency_s", None)
        if latency_s is not None:
            cells.setdefault(cell(row), []).append((line, latency_s))
    for repeats in cells.values():
        usual = statistics.median_low([seconds for _, seconds in repeats])
        for line, seconds in repeats:
            times = max(seconds / usual, usual / seconds)
            if times >= OFF:
                more = "more" if seconds > usual else "less"
                yield (
                    line,
                    f"latency_s={seconds} is {times:.0f} times {more} than its cell's {usual}",
                )


def missing_boards(profile: Profile) -> Iterator[str]:
    """What was not measured of the boards that are described, and what follows."""
    if not profile.models:
        return
    known = {(row.board, row.model) for row in profile.compute}
    for model in profile.models:
        missing = [board.name for board in profile.boards if (board.name, model.name) not in known]
        if missing:
            boards = "board" if len(missing) == 1 else "boards"
            yield (
                f"compute of model {model.name} was not measured on {boards} {', '.join(missing)}: "
                f"plans that need it cannot be chosen"
            )
    linked = {name for row in profile.link for name in (row.src, row.dst)}
    alone = [board.name for board in profile.boards if board.name not in linked]
    if len(profile.boards) > 1 and alone:
        yield f"no link to {', '.join(alone)} was measured: only plans without it can be chosen"
