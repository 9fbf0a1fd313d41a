"""Rows are what engines said, first passes left out, in an order that a seed decides."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from typing import Any, ClassVar, Literal

import pytest
from rehearsal import GPT2, Rehearsal

from prism_edge.engine.client import EngineGoneError
from prism_edge.engine.messages import Message
from prism_edge.errors import ClusterError
from prism_edge.plan import LOCAL, Plan
from prism_edge.profile.compute import measure_compute
from prism_edge.profile.gate import PAUSE_S
from prism_edge.profile.link import measure_link
from prism_edge.profile.measured import Measured
from prism_edge.profile.pause import until_cool
from prism_edge.profile.request import inputs, measure_requests
from prism_edge.profile.run import measure_all, missing
from prism_edge.profile.sensors import Sensors
from prism_edge.profile.sweep import Cell, Request, Sweep, Wish, plan_sweep
from prism_edge.profile.transfers import measure_staging
from prism_edge.profile.visits import affordable_repeats
from prism_edge.tables import ComputeRow, LinkRow, RequestRow, StagingRow

FOREVER = float("inf")


def sweep_for(stage: Rehearsal, wish: Wish) -> Sweep:
    return plan_sweep({"m": stage.models[0].shape}, len(stage.hosts), wish)


def everything(
    stage: Rehearsal,
    sweep: Sweep,
    *,
    aim_s: float = FOREVER,
    deadline_s: float = FOREVER,
    done: Collection[str] = (),
) -> list[Measured]:
    found = measure_all(
        stage.engines, sweep, aim_s=aim_s, deadline_s=deadline_s, done=done, now=stage.clock
    )
    return list(found)


def warnings(found: list[Measured]) -> list[str]:
    return [item.warning for item in found if item.warning]


def rows(found: list[Measured], kind: type) -> list:
    return [row for item in found for row in item.rows if isinstance(row, kind)]


def test_a_sweep_measures_all_it_holds() -> None:
    stage = Rehearsal(2)
    sweep = sweep_for(stage, Wish(quick=True, ls=(10,)))
    found = everything(stage, sweep)
    compute = rows(found, ComputeRow)
    for rank, cells in enumerate(sweep.cells):
        counted = Counter(
            (row.batch, row.tokens_own, row.tokens_known)
            for row in compute
            if row.board == f"edge-{rank + 1}"
        )
        assert counted == {cell.key[1:]: sweep.rounds * cell.repeats for cell in cells}
        assert min(counted.values()) >= 3
    assert len(rows(found, StagingRow)) == 2 * 2 * len(sweep.payloads) * 20
    link = Counter((row.op, row.load, row.src) for row in rows(found, LinkRow))
    every = sweep.payload_rounds * sweep.payload_repeats
    assert link == {
        ("exchange", "idle", "edge-1"): 5 * every,
        ("exchange", "loaded", "edge-1"): 3 * every,
        ("oneway", "idle", "edge-1"): 5 * every,
        ("oneway", "idle", "edge-2"): 5 * every,
    }
    assert len(rows(found, RequestRow)) == len(sweep.requests) * sweep.request_rounds
    # the first request of each kind is answered, but is no row
    assert len(stage.orders("run")) == len(sweep.requests) * (sweep.request_rounds + 1)
    assert sum(item.weight_s for item in found) == pytest.approx(sweep.weight_s)


def by_key(found: list[Measured]) -> dict[str, int]:
    """How many rows every finished cell has."""
    return {item.key: len(item.rows) for item in found if item.key}


@pytest.mark.parametrize("bit_per_s", [1e9, 1e6])  # on the slow link payloads are left out
def test_every_row_is_of_a_finished_cell_and_none_is_finished_twice(bit_per_s: float) -> None:
    stage = Rehearsal(3)
    stage.takes_s = lambda kind, fields: fields.get("bytes", 1000) * 8 / bit_per_s
    found = everything(stage, sweep_for(stage, Wish(ls=(10,), batches=(1, 2))))
    assert all(item.key for item in found if item.rows)
    keys = [item.key for item in found if item.key]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("bit_per_s", [1e9, 1e6])
@pytest.mark.parametrize("seed", range(4))
def test_what_is_done_is_left_out_and_nothing_else(seed: int, bit_per_s: float) -> None:
    stage = Rehearsal(2)
    stage.takes_s = lambda kind, fields: fields.get("bytes", 1000) * 8 / bit_per_s
    sweep = sweep_for(stage, Wish(ls=(10,), batches=(1, 2)))
    whole = by_key(everything(stage, sweep))
    order = list(whole)
    done = set(random.Random(seed).sample(order, len(order) // 2)) | set(order[: len(order) // 3])
    rest = by_key(everything(stage, sweep, done=done))
    assert rest == {key: count for key, count in whole.items() if key not in done}
    assert by_key(everything(stage, sweep, done=set(whole))) == {}


def test_workers_take_orders_only_outside_a_group() -> None:
    stage = Rehearsal(2)
    everything(stage, sweep_for(stage, Wish(quick=True, batches=(1,), ls=(10,))))
    order = list(dict.fromkeys(kind for _, kind, _ in stage.log))
    assert order == ["stage", "join", "probe", "leave", "measure", "run"]
    turns = [kind for _, kind, _ in stage.log if kind in ("join", "leave")]
    assert turns == ["join", "leave", "join"]
    last_join = max(i for i, (_, kind, _) in enumerate(stage.log) if kind == "join")
    measured = [i for i, (_, kind, _) in enumerate(stage.log) if kind == "measure"]
    assert max(measured) < last_join


def test_one_board_has_no_link_and_no_group() -> None:
    stage = Rehearsal(1)
    found = everything(stage, sweep_for(stage, Wish(quick=True)))
    assert not rows(found, LinkRow)
    assert not [kind for _, kind, _ in stage.log if kind in ("join", "probe")]
    assert {row.plan for row in rows(found, RequestRow)} == {"local"}


def test_boards_without_gloo_are_measured_alone_and_that_is_said() -> None:
    stage = Rehearsal(2, distributed=False)
    found = everything(stage, sweep_for(stage, Wish(quick=True, ls=(10,))))
    assert any("no GLOO" in text for text in warnings(found))
    assert {row.plan for row in rows(found, RequestRow)} == {"local"}
    assert rows(found, ComputeRow)


def test_a_cpu_boards_staging_is_called_a_copy() -> None:
    stage = Rehearsal(2)
    found = list(measure_staging(stage.engines, (4096,)))
    assert {row.path for row in rows(found, StagingRow)} == {"copy"}
    assert [text for text in warnings(found) if "memory copies" in text] == warnings(found)
    assert len(warnings(found)) == 2
    stage.staging = {"pinned": None}  # and only then: an accelerator's staging is no copy
    assert warnings(list(measure_staging(stage.engines, (4096,)))) == []


def test_every_way_of_an_accelerator_is_measured_and_a_broken_one_named() -> None:
    stage = Rehearsal(1)
    stage.staging = {"gloo": None, "pinned": None, "mapped": "no such memory"}
    found = list(measure_staging(stage.engines, (4096,)))
    measured = Counter((row.path, row.direction) for row in rows(found, StagingRow))
    sizes = {row.bytes for row in rows(found, StagingRow)}
    assert (min(sizes), max(sizes)) == (4096, 16 << 20)  # not those of the link
    assert measured == {
        (path, way): 20 * len(sizes) for path in ("gloo", "pinned") for way in ("d2h", "h2d")
    }
    assert [text for text in warnings(found) if "mapped was not measured" in text] == [
        "board edge-1: staging path mapped was not measured: no such memory"
    ]


def test_pairs_are_measured_one_at_a_time() -> None:
    stage = Rehearsal(3)
    sweep = sweep_for(stage, Wish(quick=True, ls=(10,)))
    found = rows(list(measure_link(stage.engines, sweep)), LinkRow)
    among = Counter((row.op, row.load, row.world, row.src, row.dst) for row in found)
    assert among.keys() == {
        *(("exchange", "idle", 2, f"edge-{a}", f"edge-{b}") for a, b in ((1, 2), (1, 3), (2, 3))),
        *(("exchange", "loaded", 2, "edge-1", f"edge-{b}") for b in (2, 3)),
        *(("oneway", "idle", 2, f"edge-{a}", f"edge-{b}") for a, b in ((1, 2), (2, 1))),
        *(("oneway", "idle", 2, f"edge-{a}", f"edge-{b}") for a, b in ((1, 3), (3, 1))),
        *(("exchange", load, 3, "edge-1", "edge-3") for load in ("idle", "loaded")),
    }
    assert {row.bytes for row in found} == set(sweep.payloads)
    assert len({row.repeat for row in found}) == sweep.payload_rounds * sweep.payload_repeats


def test_the_cells_of_a_link_are_visited_in_rounds_in_random_order() -> None:
    def order(seed: int) -> list[str]:
        stage = Rehearsal(2)
        found = measure_link(stage.engines, sweep_for(stage, Wish(quick=True, seed=seed)))
        return [item.key for item in found]

    first = order(0)
    assert first == order(0)
    assert first != order(1)
    turns = [key.rpartition("/")[2] for key in first]
    assert turns == sorted(turns)
    rounds = [[key.rpartition("/")[0] for key in first if key.endswith(f"/{n}")] for n in "012"]
    assert sorted(rounds[0]) == sorted(rounds[1]) == sorted(rounds[2])
    assert rounds[0] != rounds[1]


def test_a_link_that_takes_too_long_is_left_after_a_round() -> None:
    stage = Rehearsal(2)
    stage.takes_s = lambda kind, fields: 0.2
    sweep = sweep_for(stage, Wish(quick=True))
    found = list(measure_link(stage.engines, sweep, deadline_s=stage.clock() + 13, now=stage.clock))
    assert warnings(found) == ["time was up after 1 of 3 rounds of the link"]
    assert [item.cut for item in found if item.warning] == [True]
    assert len({(row.op, row.load, row.src, row.bytes) for row in rows(found, LinkRow)}) == 18


def test_a_slow_link_is_not_flooded() -> None:
    stage = Rehearsal(2)
    stage.takes_s = lambda kind, fields: fields["bytes"] * 8 / 1e6  # 1 Mbit/s
    sweep = sweep_for(stage, Wish(quick=True, ls=(10,)))
    found = list(measure_link(stage.engines, sweep))
    largest = max(row.bytes for row in rows(found, LinkRow))
    assert largest == 256 * 1024
    counted = Counter(row.bytes for row in rows(found, LinkRow) if row.op == "oneway")
    assert counted[largest] == 2 * 3  # in both directions
    assert counted[4096] == 2 * 6
    assert any("larger payloads were not measured" in text for text in warnings(found))


def cell(repeats: int = 5) -> Cell:
    return Cell(
        model="m",
        plan=LOCAL,
        rank=0,
        batch=1,
        tokens=8,
        own=8,
        known=8,
        repeats=repeats,
        weight_s=1.0,
    )


@pytest.mark.parametrize(
    ("done_weight_s", "passed_s", "left_s", "expected"),
    [
        (0.0, 0.0, 1.0, 5),  # nothing is known of the pace yet
        (10.0, 10.0, 21.0, 5),  # 20 weights left at 1 s each
        (10.0, 10.0, 19.0, 1),
        (10.0, 40.0, 60.0, 1),  # four times slower than guessed
        (10.0, 10.0, -5.0, 1),
        (10.0, 10.0, FOREVER, 5),
    ],
)
def test_repeats_are_dropped_when_the_pace_is_too_slow(
    done_weight_s: float, passed_s: float, left_s: float, expected: int
) -> None:
    repeats = affordable_repeats(
        cell(), left_weight_s=20.0, done_weight_s=done_weight_s, passed_s=passed_s, left_s=left_s
    )
    assert repeats == expected


def test_an_aim_costs_repeats_but_no_cell_and_no_kind_of_request() -> None:
    stage = Rehearsal(2)
    stage.takes_s = lambda kind, fields: 1.0 if kind == "measure" else 0.001
    sweep = sweep_for(stage, Wish(quick=True, ls=(10,)))
    found = everything(stage, sweep, aim_s=stage.clock() + 5)
    compute = rows(found, ComputeRow)
    for rank, cells in enumerate(sweep.cells):
        held = {
            (row.batch, row.tokens_own, row.tokens_known)
            for row in compute
            if row.board == f"edge-{rank + 1}"
        }
        assert held == {cell.key[1:] for cell in cells}
    assert len(compute) < sum(cell.repeats for cells in sweep.cells for cell in cells)
    assert len(rows(found, RequestRow)) == len(sweep.requests)
    assert [text for text in warnings(found) if "after 1 of 3 rounds of requests" in text]


def test_a_deadline_costs_cells_and_says_how_many() -> None:
    stage = Rehearsal(1)
    stage.takes_s = lambda kind, fields: 1.0 if kind == "measure" else 0.001
    sweep = sweep_for(stage, Wish(quick=True))
    found = everything(stage, sweep, deadline_s=stage.clock() + 4)
    held = {row.batch for row in rows(found, ComputeRow)}
    assert 0 < len(held) < 4
    assert any(f"{4 - len(held)} of 4 compute cells were not" in text for text in warnings(found))


def test_a_deadline_in_a_later_round_costs_no_cell() -> None:
    stage = Rehearsal(1)
    stage.takes_s = lambda kind, fields: 1.0 if kind == "measure" else 0.001
    sweep = sweep_for(stage, Wish())
    found = everything(stage, sweep, deadline_s=stage.clock() + 20)
    assert {row.batch for row in rows(found, ComputeRow)} == {1, 2, 4, 8}
    assert not any("cannot be chosen" in text for text in warnings(found))


def test_every_repeat_of_a_cell_has_a_number_of_its_own() -> None:
    stage = Rehearsal(1)
    found = everything(stage, sweep_for(stage, Wish()))
    numbered = [(row.batch, row.repeat) for row in rows(found, ComputeRow)]
    assert len(set(numbered)) == len(numbered)
    of_8 = [repeat for batch, repeat in numbered if batch == 8]
    assert of_8 == [0, 1, 100, 101, 200, 201, 300, 301]  # four rounds of two


def test_a_board_that_is_lost_is_named() -> None:
    stage = Rehearsal(2)
    stage.breaks = lambda kind, fields: EngineGoneError("ended with code -9")
    sweep = sweep_for(stage, Wish(quick=True, ls=(10,)))
    with pytest.raises(ClusterError, match=r"board edge-\d: ended with code -9"):
        list(
            measure_compute(
                stage.engines, sweep, aim_s=FOREVER, deadline_s=FOREVER, now=stage.clock
            )
        )


def test_a_cell_that_a_board_cannot_compute_is_left_out_and_named() -> None:
    stage = Rehearsal(2)
    stage.breaks = lambda kind, fields: (
        ClusterError("out of\nmemory") if kind == "measure" and fields["batch"] == 8 else None
    )
    sweep = sweep_for(stage, Wish(quick=True, ls=(10,)))
    found = everything(stage, sweep)
    assert {row.batch for row in rows(found, ComputeRow)} == {1, 2, 4}
    assert rows(found, RequestRow)
    said = set(warnings(found)) - {text for text in warnings(found) if "copies" in text}
    lacking = [cell for cells in sweep.cells for cell in cells if cell.batch == 8]
    assert len(said) == len(lacking) == 5
    assert (
        "board edge-1: m batch 8, 197 of 197 tokens: out of memory; it was left out, and plans "
        "that need it cannot be chosen"
    ) in said
    asked = [fields for fields in stage.orders("measure") if fields["batch"] == 8]
    assert len(asked) == len(lacking)  # once each
    keys = [item.key for item in found if item.key]
    assert len(set(keys)) == len(keys)
    assert missing(stage.engines, sweep, keys) == 0
    assert sum(item.weight_s for item in found) == pytest.approx(sweep.weight_s)
    assert not by_key(everything(stage, sweep, done=keys))  # nor by a run that resumes


class Unheard(Future[Message]):
    """An answer that is there before anybody is called back."""

    def add_done_callback(self, fn: Callable[[Future[Message]], object]) -> None:
        pass


def test_a_window_of_energy_never_begins_before_the_clock_does() -> None:
    class Early(Rehearsal):
        def submit(self, *asked: Any, **fields: Any) -> Future[Message]:
            future = Unheard()
            future.set_result(super().submit(*asked, **fields).result())
            return future

    class Windows(Sensors):
        asked: ClassVar[list[float]] = []

        def mean_w(self, rank: int, start_s: float, stop_s: float) -> float | None:
            self.asked.append(stop_s)
            return None

    stage, began_s = Early(1), time.monotonic()
    sweep = sweep_for(stage, Wish(quick=True, batches=(1,)))
    found = list(
        measure_compute(
            *(stage.engines, sweep),
            aim_s=FOREVER,
            deadline_s=FOREVER,
            now=stage.clock,
            sensors=Windows(),
        )
    )
    assert rows(found, ComputeRow)
    assert min(Windows.asked) >= began_s


class Metered(Sensors):
    """One board with a meter that misses what takes less than ``blind_s``."""

    blind_s = 0.05

    def power(self, rank: int) -> Literal["sensor", "modelled", "none"]:
        return "sensor" if rank == 0 else "none"

    @property
    def request_s(self) -> float:
        return 0.5

    def mean_w(self, rank: int, start_s: float, stop_s: float) -> float | None:
        return 5.0 if rank == 0 and stop_s - start_s > self.blind_s else None

    def spent_j(self, start_s: float, stop_s: float) -> float | None:
        return None


def test_what_a_meter_misses_is_said_once() -> None:
    stage = Rehearsal(2)
    stage.takes_s = lambda kind, fields: 1.0 if fields.get("batch") == 4 else 0.001
    sweep = sweep_for(stage, Wish(quick=True, ls=(10,), batches=(1, 4)))
    found = list(
        measure_all(
            *(stage.engines, sweep),
            aim_s=FOREVER,
            deadline_s=FOREVER,
            now=stage.clock,
            sensors=Metered(),
        )
    )
    said = [item for item in found if "without energy" in str(item.warning)]
    assert [str(item.warning).partition(":")[0] for item in said] == [
        "board edge-1",
        f"{len(sweep.requests)} of {len(sweep.requests)} kinds of request have visits without "
        "energy",
    ]
    assert "batch 1, 197 of 197 tokens" in str(said[0].warning)
    assert "batch 4" not in str(said[0].warning)
    assert all(item.lasting for item in said)
    numbered = [
        (row.plan, row.model, row.batch, row.tokens, row.repeat) for row in rows(found, RequestRow)
    ]
    assert len(set(numbered)) == len(numbered) > 100  # fast requests are answered in a row
    assert max(row.repeat for row in rows(found, RequestRow)) == 299


def test_boards_that_freeze_are_named() -> None:
    class Frozen(Rehearsal):
        def submit(self, *asked: Any, **fields: Any) -> Future[Message]:
            return Future() if asked[0] == 1 else super().submit(*asked, **fields)

    stage = Frozen(2)
    sweep = sweep_for(stage, Wish(quick=True, ls=(10,)))
    found = measure_compute(
        *(stage.engines, sweep),
        aim_s=FOREVER,
        deadline_s=FOREVER,
        now=stage.clock,
        patience_s=0.01,
    )
    with pytest.raises(ClusterError, match=r"^board edge-2: no answer to m batch .* after 0.01 s$"):
        list(found)


def test_an_answer_by_another_plan_is_no_measurement() -> None:
    stage = Rehearsal(2)
    stage.fallback = "rank 0: lost rank 1"
    request = Request(model="m", plan=Plan.parse("split:p=2"), batch=2, tokens=197, weight_s=1.0)
    with pytest.raises(ClusterError, match="split:p=2 batch 2: rank 0: lost rank 1"):
        list(
            measure_requests(
                stage.engines,
                [request],
                rounds=1,
                seed=0,
                aim_s=FOREVER,
                deadline_s=FOREVER,
                now=stage.clock,
            )
        )


def test_rounds_are_shuffled_the_same_way_for_the_same_seed() -> None:
    def order(seed: int) -> list[str]:
        stage = Rehearsal(2)
        sweep = sweep_for(stage, Wish(quick=True, ls=(10,)))
        list(
            measure_requests(
                stage.engines,
                sweep.requests,
                rounds=3,
                seed=seed,
                aim_s=FOREVER,
                deadline_s=FOREVER,
                now=stage.clock,
            )
        )
        return [
            f"{fields['plan']}/{len(fields['arrays']['pixel_values'])}"
            for fields in stage.orders("run")
        ]

    first = order(1)
    assert first == order(1)
    assert first != order(2)
    rounds = [first[i : i + 7] for i in range(0, 28, 7)]
    assert len({tuple(turn) for turn in rounds}) > 1
    assert all(sorted(turn) == sorted(rounds[0]) for turn in rounds)


def test_inputs_have_the_size_asked_for() -> None:
    pixels = inputs(Rehearsal(1).models[0], 3, 197)["pixel_values"]
    assert (pixels.shape, str(pixels.dtype)) == ((3, 3, 4, 4), "uint8")
    ids = inputs(Rehearsal(1, GPT2).models[0], 2, 40)["input_ids"]
    assert (ids.shape, str(ids.dtype)) == ((2, 40), "int64")


class Staged(Sensors):
    """Boards that change or get hot when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.changes: dict[int, str] = {}
        self.hot_looks = 0
        self.tolerated: list[int] = []

    def changed(self, rank: int) -> str | None:
        return self.changes.get(rank)

    def too_hot(self, rank: int, *, paused: bool = False) -> str | None:
        if rank != 0 or not self.hot_looks:
            return None
        self.hot_looks -= paused
        return "tj is at 91 C"

    def tolerate(self, rank: int) -> None:
        self.tolerated.append(rank)


def test_a_board_that_changes_is_measured_no_further_and_the_others_are() -> None:
    stage, sensors = Rehearsal(2), Staged()
    sweep = sweep_for(stage, Wish(quick=True, ls=(10,)))
    found: list[Measured] = []
    for measured in measure_compute(
        stage.engines, sweep, aim_s=FOREVER, deadline_s=FOREVER, now=stage.clock, sensors=sensors
    ):
        found.append(measured)
        if len(rows(found, ComputeRow)) == 20:
            sensors.changes[1] = "power mode 15W became 25W"
    (warning,) = warnings(found)
    assert warning.startswith("board edge-2: power mode 15W became 25W during the sweep")
    counted = Counter(row.board for row in rows(found, ComputeRow))
    assert counted["edge-1"] == sweep.rounds * sum(cell.repeats for cell in sweep.cells[0])
    assert counted["edge-2"] < 20
    changed = [measured for measured in found if not measured.key]
    assert [measured.rows for measured in changed] == [()]  # what may be mixed is no row


def test_requests_end_when_a_board_changes() -> None:
    stage, sensors = Rehearsal(2), Staged()
    sensors.changes[1] = "it is throttled by cpufreq-cpu0"
    sweep = sweep_for(stage, Wish(quick=True, ls=(10,)))
    found = list(
        measure_requests(
            stage.engines,
            sweep.requests,
            rounds=2,
            seed=0,
            aim_s=FOREVER,
            deadline_s=FOREVER,
            now=stage.clock,
            sensors=sensors,
        )
    )
    assert not rows(found, RequestRow)
    assert "board edge-2: it is throttled" in warnings(found)[0]


def test_a_hot_board_is_waited_for_and_that_is_said() -> None:
    sensors, slept = Staged(), list[float]()
    assert list(until_cool(sensors, 0, "edge-1", slept.append)) == []
    sensors.hot_looks = 4
    told, ended = until_cool(sensors, 0, "edge-1", slept.append)
    assert "tj is at 91 C; waiting" in told.text
    assert ended.warning is not None
    assert "went on when it had cooled" in ended.warning
    assert ended.lasting
    assert len(slept) == 4
    sensors.hot_looks = 10_000
    *_, ended = until_cool(sensors, 0, "edge-1", slept.append)
    assert "went on although tj is at 91 C" in str(ended.warning)
    assert sum(slept[4:]) == PAUSE_S
    assert sensors.tolerated == [0]  # a board that stays hot is waited for once


def test_a_cell_that_creeps_is_visited_again_and_named() -> None:
    stage, calls = Rehearsal(1), Counter[int]()

    def takes_s(kind: str, fields: Mapping[str, Any]) -> float:
        if kind != "measure" or fields["batch"] != 4:
            return 0.01
        calls[4] += 1
        return 0.01 * 1.2 ** calls[4]  # hotter and hotter

    stage.takes_s = takes_s
    sweep = sweep_for(stage, Wish(quick=True))
    found = everything(stage, sweep)
    (warning,) = [text for text in warnings(found) if "not steady" in text]
    assert warning.startswith("board edge-1: 1 of 4 compute cells are not steady")
    assert "m batch 4, 197 of 197 tokens +73%" in warning
    visits = Counter(row.batch for row in rows(found, ComputeRow) if row.repeat % 100 == 0)
    assert visits == {1: 3, 2: 3, 4: 5, 8: 3}
    assert sum(item.weight_s for item in found) == pytest.approx(sweep.weight_s)


def test_only_a_cells_first_visit_is_long() -> None:
    stage = Rehearsal(1)
    everything(stage, sweep_for(stage, Wish(quick=True)))
    first = [fields["batch"] for fields in stage.orders("measure") if fields["warm_s"]]
    assert sorted(first) == [1, 2, 4, 8]
