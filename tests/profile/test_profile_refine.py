"""The time left goes to the cells in doubt, on every board that has them, and to no others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from measured import profile
from rehearsal import Rehearsal

from prism_edge.errors import ClusterError
from prism_edge.profile.refine import REPEATS, Doubt, doubtful, refine
from prism_edge.profile.run import measure_all, missing
from prism_edge.profile.sweep import Sweep, Wish, plan_sweep
from prism_edge.tables import ComputeRow, Profile
from prism_edge.tables.rows import identity

FOREVER = float("inf")


@dataclass(frozen=True)
class Cell:
    model: str
    batch: int
    tokens_own: int
    tokens_known: int


class Refined:
    """A rehearsal that has swept, and what refining adds to it."""

    def __init__(self, cells: Sequence[Doubt], *, pass_s: float = 1.0) -> None:
        self.stage = Rehearsal(2)
        self.sweep = plan_sweep(
            {"m": self.stage.models[0].shape}, 2, Wish(quick=True, ls=(10,), batches=(1, 2))
        )
        self.rows: list[ComputeRow] = []
        self.keys: set[str] = set()
        self.asked = 0
        self.cells = cells
        swept = measure_all(
            self.stage.engines,
            self.sweep,
            aim_s=FOREVER,
            deadline_s=FOREVER,
            now=self.stage.clock,
        )
        self.take(swept)
        self.swept = len(self.rows)
        self.stage.takes_s = lambda kind, fields: pass_s

    def take(self, found: object) -> None:
        for measured in found:  # type: ignore[attr-defined]
            self.rows += [row for row in measured.rows if isinstance(row, ComputeRow)]
            assert measured.key not in self.keys
            self.keys |= {measured.key} if measured.key else set()

    def profile(self) -> Profile:
        base = profile(boards=2)
        model = replace(base.models[0], name="m")
        return replace(base, models=(model,), compute=tuple(self.rows), link=())

    def doubts(self, measured: Profile) -> Sequence[Doubt]:
        self.asked += 1
        return self.cells

    def run(self, seconds: float) -> None:
        deadline_s = self.stage.clock() + seconds
        self.take(
            refine(
                self.stage.engines,
                self.sweep,
                self.doubts,
                self.profile,
                deadline_s=deadline_s,
                now=self.stage.clock,
            )
        )

    @property
    def more(self) -> list[ComputeRow]:
        return self.rows[self.swept :]


LOCAL = Cell("m", 1, 197, 197)


def test_the_cells_in_doubt_are_measured_again_on_every_board() -> None:
    refined = Refined([LOCAL])
    refined.run(30.0)
    assert refined.asked > 1
    assert {row.board for row in refined.more} == {"edge-1", "edge-2"}
    assert {(row.batch, row.tokens_own, row.tokens_known) for row in refined.more} == {
        (1, 197, 197)
    }
    assert all(row.repeat >= REPEATS for row in refined.more)


def test_every_row_is_new_also_after_a_run_that_refined_before() -> None:
    refined = Refined([LOCAL])
    refined.run(20.0)
    first = len(refined.rows)
    refined.run(20.0)
    assert len(refined.rows) > first
    assert len({identity(row) for row in refined.rows}) == len(refined.rows)


def test_no_time_and_no_doubt_measure_nothing() -> None:
    for cells, seconds in (([LOCAL], 0.0), ([], 100.0), ([Cell("other", 1, 1, 1)], 100.0)):
        refined = Refined(cells)
        refined.run(seconds)
        assert refined.more == []


def test_time_ends_it_however_great_the_doubt() -> None:
    refined = Refined([LOCAL], pass_s=5.0)
    refined.run(12.0)
    assert refined.stage.clock() < 100 + 200
    assert refined.more


def test_a_cell_in_doubt_that_cannot_be_measured_ends_it() -> None:
    refined = Refined([LOCAL])
    refined.stage.breaks = lambda kind, fields: ClusterError("out of memory")
    refined.run(1000.0)
    assert refined.asked == 1
    assert refined.more == []


def test_a_board_lacks_the_cells_that_it_never_plays() -> None:
    refined = Refined([])
    theirs = {cell.key for cell in refined.sweep.cells[1]}
    leaders = next(cell for cell in refined.sweep.cells[0] if cell.key not in theirs)
    wanted = [Cell(leaders.model, leaders.batch, leaders.own, leaders.known)]
    assert doubtful(refined.sweep, wanted) == ((leaders,), ())


def test_what_is_missing_of_a_sweep_is_counted() -> None:
    refined = Refined([])
    sweep: Sweep = refined.sweep
    assert missing(refined.stage.engines, sweep, refined.keys) == 0
    lost = {key for key in refined.keys if key.startswith(("compute", "request"))}
    visits = sum(map(len, sweep.cells)) * sweep.rounds
    assert missing(refined.stage.engines, sweep, refined.keys - lost) == (
        visits + len(sweep.requests) * sweep.request_rounds
    )
