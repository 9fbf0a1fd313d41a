"""The daemon's choice: by tables that apply, by the link as it is, and local with a reason."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from measured import ALPHA_S, BANDWIDTH_BPS, VIT, compute_s, profile

from prism_edge import tables
from prism_edge.plan import LOCAL, Plan
from prism_edge.serve.decide import Choice, Decider
from prism_edge.serve.models import Served
from prism_edge.serve.service import ModelInfo
from prism_edge.settings import BoardSettings, PolicySettings, Settings
from prism_edge.traffic import wire_bytes

N = VIT.tokens
BOTH = ("edge-1", "edge-2")
PRISM = Plan.parse("prism:p=2,l=10,dtype=fp16")
FAST, SLOW = 1e9, 5e5


def model(name: str = "net", fingerprint: str = "f00d") -> Served:
    info = ModelInfo(name=name, inputs=(), outputs=(), ready=True)
    return Served(info=info, fingerprint=fingerprint, shape=VIT)


def decider_of(
    directory: Path, boards: Sequence[str] = BOTH, policy: PolicySettings | None = None
) -> Decider:
    return Decider(
        Settings(
            name="c",
            leader=boards[0],
            profiles=directory,
            boards=tuple(
                BoardSettings(name=name, address=f"10.0.0.{k + 1}") for k, name in enumerate(boards)
            ),
            policy=policy or PolicySettings(),
        )
    )


def deciding(
    directory: Path,
    made: tables.Profile | None = None,
    boards: Sequence[str] = BOTH,
    served: Served | None = None,
    policy: PolicySettings | None = None,
) -> Decider:
    """A decider that has read ``made`` from the disk."""
    tables.write(directory, made or profile())
    decider = decider_of(directory, boards, policy)
    served = served or model()
    decider.models({served.info.name: served})
    return decider


def ran(choice: Choice, spans: list[list[Any]], **changes: Any) -> dict[str, Any]:
    """What the engine says of a batch that ran as chosen."""
    said = {"plan": str(choice.plan), "fallback": None, "spans": spans, "engine_s": 1.0}
    return {**said, **changes}


def exchange(size: int, seconds: float, waited_s: float | None = None) -> list[list[Any]]:
    waited_s = seconds if waited_s is None else waited_s
    return [["exchange", 0.0, seconds, size], ["wait", 0.0, waited_s, size]]


# -- tables that do not apply ------------------------------------------------------------------


def truncated(directory: Path) -> None:
    path = directory / "compute.csv"
    path.write_text(path.read_text()[:-40])


def of_an_unknown_column(directory: Path) -> None:
    path = directory / "link.csv"
    path.write_text(path.read_text().replace("latency_s", "latency_ms"))


def without_header(directory: Path) -> None:
    (directory / "profile.toml").unlink()


def of_another_schema(directory: Path) -> None:
    path = directory / "profile.toml"
    path.write_text(path.read_text().replace("schema = 1", "schema = 2"))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (truncated, "compute.csv"),
        (of_an_unknown_column, "latency_ms"),
        (without_header, "no such file"),
        (of_another_schema, "schema is 2"),
    ],
)
def test_tables_that_cannot_be_read_leave_local_and_say_which_file(
    damage: Callable[[Path], None], said: str, tmp_path: Path
) -> None:
    tables.write(tmp_path, profile())
    damage(tmp_path)
    decider = decider_of(tmp_path)
    decider.models({"net": model()})
    choice = decider.choose(model(), 4, N, BOTH)
    assert (choice.plan, choice.fallback) == (LOCAL, "no_tables")
    assert choice.why.startswith("local: ")
    assert said in choice.why
    assert "prism-edge profile" in choice.why
    assert said in (decider.complaint() or "")
    assert decider.link() is None
    assert decider.probe_due(0.0, 2) is None


@pytest.mark.parametrize(
    ("served", "boards", "said"),
    [
        (model(fingerprint="beef"), BOTH, "has changed since it was profiled"),
        (model(name="other"), BOTH, "model 'other' was not profiled"),
        (model(), ("edge-1", "edge-9"), "board 'edge-9' was not profiled"),
    ],
)
def test_foreign_tables_leave_local_and_say_what_is_foreign(
    served: Served, boards: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    decider = deciding(tmp_path, boards=boards, served=served)
    choice = decider.choose(served, 4, N, boards)
    assert (choice.plan, choice.fallback) == (LOCAL, "no_tables")
    assert said in choice.why
    assert said in (decider.complaint() or "")


@pytest.mark.parametrize(("fact", "then"), [("dtype", "fp16"), ("device", "cuda")])
def test_tables_of_a_board_that_computed_otherwise_are_foreign(
    tmp_path: Path, fact: str, then: str
) -> None:
    made = profile()
    boards = tuple(replace(board, facts={**board.facts, fact: then}) for board in made.boards)
    choice = deciding(tmp_path, replace(made, boards=boards)).choose(model(), 4, N, BOTH)
    assert choice.plan == LOCAL
    assert f"{fact} is" in choice.why
    assert f"profiled under '{then}'" in choice.why


def test_control_tables_that_apply_are_used(tmp_path: Path) -> None:
    decider = deciding(tmp_path)
    choice = decider.choose(model(), 4, N, BOTH)
    assert choice.plan.p == 2
    assert choice.fallback is None
    assert choice.predicted is not None
    assert decider.complaint() is None


def test_one_models_tables_do_not_answer_for_another(tmp_path: Path) -> None:
    tables.write(tmp_path, profile())
    decider = decider_of(tmp_path)
    other = model(name="other")
    decider.models({"net": model(), "other": other})
    assert decider.choose(model(), 4, N, BOTH).plan.p == 2
    assert decider.choose(other, 4, N, BOTH).fallback == "no_tables"


def test_tables_measured_later_count_when_the_engine_is_ready_again(tmp_path: Path) -> None:
    decider = decider_of(tmp_path)
    decider.models({"net": model()})
    assert decider.choose(model(), 4, N, BOTH).fallback == "no_tables"
    tables.write(tmp_path, profile())
    decider.models({"net": model()})
    assert decider.choose(model(), 4, N, BOTH).plan.p == 2


def test_a_board_that_serves_alone_lacks_nothing(tmp_path: Path) -> None:
    decider = decider_of(tmp_path, ("edge-1",))
    decider.models({"net": model()})
    choice = decider.choose(model(), 4, N, ("edge-1",))
    assert (choice.plan, choice.fallback, choice.why) == (
        LOCAL,
        None,
        "local: this board serves alone",
    )
    assert decider.complaint() is None


def test_a_batch_that_was_not_profiled_is_answered_locally(tmp_path: Path) -> None:
    choice = deciding(tmp_path).choose(model(), 64, N, BOTH)
    assert (choice.plan, choice.fallback) == (LOCAL, "no_tables")
    assert "profile" in choice.why


# -- boards in service -------------------------------------------------------------------------


def test_without_the_other_boards_it_is_local_and_says_so(tmp_path: Path) -> None:
    choice = deciding(tmp_path).choose(model(), 4, N, ("edge-1",))
    assert (choice.plan, choice.fallback) == (LOCAL, "alone")
    assert "no other board is in service" in choice.why


def test_the_boards_in_service_are_the_ranks(tmp_path: Path) -> None:
    """edge-2 is so slow that nothing is shared with it; with edge-3 instead, it is."""
    three = ("edge-1", "edge-2", "edge-3")
    made = profile(boards=3, speeds=(1.0, 0.05, 1.0))
    decider = deciding(tmp_path, made, three)
    assert decider.choose(model(), 4, N, ("edge-1", "edge-2")).plan == LOCAL
    assert decider.choose(model(), 4, N, ("edge-1", "edge-3")).plan.p == 2


# -- plans a user asked for --------------------------------------------------------------------


def test_a_plan_asked_for_is_taken_and_predicted(tmp_path: Path) -> None:
    choice = deciding(tmp_path).choose(model(), 4, N, BOTH, PRISM)
    assert (choice.plan, choice.why, choice.fallback) == (PRISM, "asked for by the request", None)
    assert choice.predicted is not None


def test_a_plan_asked_for_needs_no_tables(tmp_path: Path) -> None:
    decider = decider_of(tmp_path)
    decider.models({"net": model()})
    choice = decider.choose(model(), 4, N, BOTH, PRISM)
    assert (choice.plan, choice.predicted) == (PRISM, None)


def test_a_plan_asked_for_while_alone_is_answered_locally_and_says_so(tmp_path: Path) -> None:
    choice = deciding(tmp_path).choose(model(), 4, N, ("edge-1",), PRISM)
    assert (choice.plan, choice.fallback) == (LOCAL, "alone")
    assert f"{PRISM} was asked for, but only edge-1 in service" in choice.why


# -- the link as it is -------------------------------------------------------------------------


def observed(decider: Decider, rate_bps: float, times: int = 3) -> None:
    choice = decider.choose(model(), 4, N, BOTH, PRISM)
    size = 200_000
    for now_s in range(times):
        spans = exchange(size, ALPHA_S + 8 * size / rate_bps)
        decider.observe(replace(choice, predicted=None), ran(choice, spans), float(now_s))


def test_a_link_seen_to_be_slow_makes_it_local_and_a_fast_one_distributed_again(
    tmp_path: Path,
) -> None:
    decider = deciding(tmp_path)
    assert decider.choose(model(), 1, N, BOTH).plan.method == "prism"
    observed(decider, SLOW)
    link = decider.link()
    assert link is not None
    assert link.bandwidth_bps == pytest.approx(SLOW, rel=0.01)
    slow = decider.choose(model(), 1, N, BOTH)
    assert slow.plan == LOCAL
    assert slow.fallback is None  # that is a choice, not a lack of one
    observed(decider, FAST)
    assert decider.choose(model(), 1, N, BOTH).plan.p == 2


def test_one_slow_exchange_changes_nothing(tmp_path: Path) -> None:
    decider = deciding(tmp_path)
    observed(decider, SLOW, times=1)
    assert decider.choose(model(), 1, N, BOTH).plan.method == "prism"


def test_of_one_requests_exchanges_the_fastest_is_believed(tmp_path: Path) -> None:
    """The slow ones waited for a board that was late."""
    decider = deciding(tmp_path)
    choice = replace(decider.choose(model(), 4, N, BOTH, PRISM), predicted=None)
    size = 200_000
    good = ALPHA_S + 8 * size / BANDWIDTH_BPS
    for now_s in range(3):
        spans = exchange(size, 50 * good) + exchange(size, good) + exchange(size, 20 * good)
        decider.observe(choice, ran(choice, spans), float(now_s))
    link = decider.link()
    assert link is not None
    assert link.bandwidth_bps == pytest.approx(BANDWIDTH_BPS, rel=0.05)


def test_a_message_that_was_there_already_says_nothing_about_a_slow_link(tmp_path: Path) -> None:
    decider = deciding(tmp_path)
    choice = replace(decider.choose(model(), 4, N, BOTH, PRISM), predicted=None)
    spans = exchange(200_000, 3.0, waited_s=0.0)  # computed for 3 s, then found it there
    for now_s in range(3):
        decider.observe(choice, ran(choice, spans), float(now_s))
    assert decider.choose(model(), 1, N, BOTH).plan.method == "prism"


def test_probes_are_observations_and_due_when_nobody_looked(tmp_path: Path) -> None:
    decider = deciding(tmp_path)
    assert decider.probe_due(100.0, 1) is None  # with whom?
    size = decider.probe_due(100.0, 2)
    assert size is not None
    decider.probed(size, [ALPHA_S + 8 * size / BANDWIDTH_BPS], 100.0)
    assert decider.probe_due(100.1, 2) is None
    assert decider.probe_due(110.0, 2) is not None
    for now_s in (120.0, 121.0):
        decider.probed(size, [ALPHA_S + 8 * size / SLOW], now_s)
    assert decider.choose(model(), 1, N, BOTH).plan == LOCAL
    assert "observed" in decider.link_text()


def test_a_batch_that_did_not_run_as_chosen_teaches_nothing(tmp_path: Path) -> None:
    decider = deciding(tmp_path)
    choice = decider.choose(model(), 1, N, BOTH)
    before = decider.link()
    spans = [*exchange(200_000, 99.0), ["compute", 0.0, 99.0, 0]]
    for changes in ({"fallback": "lost"}, {"plan": "local"}):
        for now_s in range(3):
            decider.observe(choice, ran(choice, spans, **changes), float(now_s))
    assert decider.link() == before
    assert decider.choose(model(), 1, N, BOTH).plan == choice.plan


# -- the boards as they are --------------------------------------------------------------------


def learned(decider: Decider, choice: Choice, spans: list[list[Any]], **said: Any) -> float:
    """How much longer ``choice`` is predicted to take after it ran like that."""
    assert choice.predicted is not None
    for _ in range(20):
        decider.observe(choice, ran(choice, spans, **said), time.monotonic())
    again = decider.choose(model(), choice.batch, N, BOTH, choice.plan)
    assert again.predicted is not None
    corrected = decider.choose(model(), choice.batch, N, BOTH)
    assert corrected.predicted is not None
    return corrected.predicted.terms["compute_s"] / again.predicted.terms["compute_s"]


def test_a_board_that_is_slower_than_profiled_is_learned_from_its_spans(tmp_path: Path) -> None:
    decider = deciding(tmp_path, boards=BOTH)
    decider.probed(100_000, [100_000 * 8 / SLOW] * 3, 0.0)
    choice = decider.choose(model(), 1, N, BOTH)
    assert choice.plan == LOCAL
    seconds = 2 * compute_s(VIT, N, N, 1)
    assert learned(decider, choice, [["compute", 0.0, seconds, 0]]) == pytest.approx(2.0, rel=0.05)


def test_waiting_is_not_computing(tmp_path: Path) -> None:
    """Without a span of its own, computing is what is left of the engine's time."""
    decider = deciding(tmp_path)
    choice = decider.choose(model(), 1, N, BOTH)
    assert choice.plan.method == "prism"
    assert choice.predicted is not None
    compute = choice.predicted.terms["compute_s"]
    size = 20_000
    moving = ALPHA_S + 8 * size / BANDWIDTH_BPS
    spans = [
        *exchange(size, moving),
        ["scatter", 0.0, 0.5, 0],
        ["gather", 0.0, 0.25, 0],
    ]
    ratio = learned(decider, choice, spans, engine_s=compute + moving + 0.75)
    assert ratio == pytest.approx(1.0, abs=0.02)


def test_a_measured_plan_that_disappoints_is_given_up(tmp_path: Path) -> None:
    decider = deciding(tmp_path)
    choice = decider.choose(model(), 1, N, BOTH)
    for _ in range(20):
        assert choice.predicted is not None
        spans = [["compute", 0.0, 3 * choice.predicted.terms["compute_s"], 0]]
        decider.observe(choice, ran(choice, spans), time.monotonic())
    assert decider.choose(model(), 1, N, BOTH).plan != choice.plan


# -- the policy's settings ---------------------------------------------------------------------


def test_exact_forbids_what_approximates(tmp_path: Path) -> None:
    free = deciding(tmp_path).choose(model(), 1, N, BOTH)
    assert not free.plan.exact
    exact = deciding(tmp_path, policy=PolicySettings(exact=True)).choose(model(), 1, N, BOTH)
    assert exact.plan.exact
    assert "exact plans only" in exact.why


def test_energy_may_choose_otherwise_than_latency(tmp_path: Path) -> None:
    """Two boards at work draw more than one: the fastest plan is not the cheapest."""
    made = profile(idle_w=0.0, busy_w=10.0, speeds=(1.0, 0.6))

    def chosen(policy: PolicySettings) -> Choice:
        return deciding(tmp_path, made, policy=policy).choose(model(), 4, N, BOTH)

    fastest, cheapest = chosen(PolicySettings()), chosen(PolicySettings(objective="energy"))
    assert fastest.predicted is not None
    assert cheapest.predicted is not None
    assert fastest.predicted.latency_s <= cheapest.predicted.latency_s
    assert cheapest.predicted.energy_j is not None
    assert fastest.predicted.energy_j is not None
    assert cheapest.predicted.energy_j <= fastest.predicted.energy_j


def test_a_prediction_knows_the_bytes_of_its_plan(tmp_path: Path) -> None:
    choice = deciding(tmp_path).choose(model(), 4, N, BOTH, PRISM)
    assert choice.predicted is not None
    assert choice.predicted.work.wire_bytes == wire_bytes(PRISM, VIT, 4, N)
