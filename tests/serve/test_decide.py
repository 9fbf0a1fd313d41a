"""The daemon's choice: by tables that apply, by the link as it is, and local with a reason."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from measured import ALPHA_S, BANDWIDTH_BPS, VIT, compute_s, profile

from prism_edge import tables
from prism_edge.plan import LOCAL, Plan
from prism_edge.schedule.adapt import Adaptive
from prism_edge.schedule.cost import Prediction, costs_of, predict
from prism_edge.schedule.events import (
    Aim,
    Answered,
    Asked,
    Event,
    Probed,
    Started,
    from_json,
    to_json,
)
from prism_edge.schedule.link import LinkState
from prism_edge.schedule.policy import Decision
from prism_edge.serve.choice import Choice
from prism_edge.serve.decide import Decider, Note
from prism_edge.serve.models import Served
from prism_edge.serve.service import ModelInfo
from prism_edge.settings import BoardSettings, PolicySettings, Settings
from prism_edge.tables.digest import digest

N = VIT.tokens
BOTH = ("edge-1", "edge-2")
PRISM = Plan.parse("prism:p=2,l=10,dtype=fp16")
FAST, SLOW = 1e9, 5e5
COSTS = costs_of(profile(), "net")


def model(name: str = "net", fingerprint: str = "f00d") -> Served:
    info = ModelInfo(name=name, inputs=(), outputs=(), ready=True)
    return Served(info=info, fingerprint=fingerprint, shape=VIT)


def decider_of(
    directory: Path,
    boards: Sequence[str] = BOTH,
    policy: PolicySettings | None = None,
    note: Note = lambda event, decision, name: None,
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
        ),
        note,
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
    decider.models({served.info.name: served}, 0.0)
    return decider


def choose(
    decider: Decider,
    rows: int = 1,
    boards: Sequence[str] = BOTH,
    wanted: Plan | None = None,
    *,
    served: Served | None = None,
    now_s: float = 0.0,
    left_s: float | None = None,
) -> Choice:
    served = served or model()
    return decider.choose(served, rows, N, boards, wanted, now_s=now_s, left_s=left_s)


def run(
    choice: Choice, rate_bps: float = BANDWIDTH_BPS, paces: Sequence[float] = (1, 1), **changes: Any
) -> dict[str, Any]:
    """What the engine says of a batch that ran as chosen, over a link and boards like these."""
    link = LinkState(alpha_s=ALPHA_S, bandwidth_bps=rate_bps, source="given")
    took = predict(COSTS, choice.plan, choice.batch, N, link, paces)
    assert isinstance(took, Prediction)
    busy_s = [s.mid_s * pace for s, pace in zip(took.work.computes, paces, strict=False)]
    said = {
        "plan": str(choice.plan),
        "fallback": None,
        "engine_s": took.latency_s,
        "spans": [["wait", 0.0, took.latency_s - busy_s[0], 0]],
        "efforts": [[one_s, took.latency_s - one_s] for one_s in busy_s[1:]],
    }
    return {**said, **changes}


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
    decider.models({"net": model()}, 0.0)
    choice = choose(decider, 4)
    assert (choice.plan, choice.fallback) == (LOCAL, "no_tables")
    assert choice.why.startswith("local: ")
    assert said in choice.why
    assert "prism-edge profile" in choice.why
    assert said in (decider.complaint() or "")
    assert decider.link() is None
    assert decider.probe_due(0.0, 2, idle=True) is None


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
    choice = choose(decider, 4, boards, served=served)
    assert (choice.plan, choice.fallback) == (LOCAL, "no_tables")
    assert said in choice.why
    assert said in (decider.complaint() or "")


@pytest.mark.parametrize(("fact", "then"), [("dtype", "fp16"), ("device", "cuda")])
def test_tables_of_a_board_that_computed_otherwise_are_foreign(
    tmp_path: Path, fact: str, then: str
) -> None:
    made = profile()
    boards = tuple(replace(board, facts={**board.facts, fact: then}) for board in made.boards)
    choice = choose(deciding(tmp_path, replace(made, boards=boards)), 4)
    assert choice.plan == LOCAL
    assert f"{fact} is" in choice.why
    assert f"profiled under '{then}'" in choice.why


def test_control_tables_that_apply_are_used(tmp_path: Path) -> None:
    decider = deciding(tmp_path)
    choice = choose(decider, 4)
    assert choice.plan.p == 2
    assert choice.fallback is None
    assert choice.why.startswith(f"{choice.plan} predicted")
    assert decider.complaint() is None


def test_one_models_tables_do_not_answer_for_another(tmp_path: Path) -> None:
    tables.write(tmp_path, profile())
    decider = decider_of(tmp_path)
    other = model(name="other")
    decider.models({"net": model(), "other": other}, 0.0)
    assert choose(decider, 4).plan.p == 2
    assert choose(decider, 4, served=other).fallback == "no_tables"


def test_tables_measured_later_count_when_the_engine_is_ready_again(tmp_path: Path) -> None:
    decider = decider_of(tmp_path)
    decider.models({"net": model()}, 0.0)
    assert choose(decider, 4).fallback == "no_tables"
    tables.write(tmp_path, profile())
    decider.models({"net": model()}, 0.0)
    assert choose(decider, 4).plan.p == 2


def test_a_board_that_serves_alone_lacks_nothing(tmp_path: Path) -> None:
    decider = decider_of(tmp_path, ("edge-1",))
    decider.models({"net": model()}, 0.0)
    choice = choose(decider, 4, ("edge-1",))
    assert (choice.plan, choice.fallback, choice.why) == (
        LOCAL,
        None,
        "local: this board serves alone",
    )
    assert decider.complaint() is None


def test_a_batch_that_was_not_profiled_is_answered_locally(tmp_path: Path) -> None:
    choice = choose(deciding(tmp_path), 64)
    assert (choice.plan, choice.fallback) == (LOCAL, "no_tables")
    assert "profile" in choice.why


# -- boards in service -------------------------------------------------------------------------


def test_without_the_other_boards_it_is_local_and_says_so(tmp_path: Path) -> None:
    choice = choose(deciding(tmp_path), 4, ("edge-1",))
    assert (choice.plan, choice.fallback) == (LOCAL, "alone")
    assert "no other board is in service" in choice.why


def test_the_boards_in_service_are_the_ranks(tmp_path: Path) -> None:
    """edge-2 is so slow that nothing is shared with it; with edge-3 instead, it is."""
    three = ("edge-1", "edge-2", "edge-3")
    made = profile(boards=3, speeds=(1.0, 0.05, 1.0))
    decider = deciding(tmp_path, made, three)
    assert choose(decider, 4, ("edge-1", "edge-2")).plan == LOCAL
    assert choose(decider, 4, ("edge-1", "edge-3")).plan.p == 2


# -- plans a user asked for --------------------------------------------------------------------


def test_a_plan_asked_for_is_taken(tmp_path: Path) -> None:
    choice = choose(deciding(tmp_path), 4, wanted=PRISM)
    assert (choice.plan, choice.why, choice.fallback) == (PRISM, "asked for by the request", None)


def test_a_plan_asked_for_needs_no_tables(tmp_path: Path) -> None:
    decider = decider_of(tmp_path)
    decider.models({"net": model()}, 0.0)
    choice = choose(decider, 4, wanted=PRISM)
    assert (choice.plan, choice.fallback) == (PRISM, None)


def test_a_plan_asked_for_while_alone_is_answered_locally_and_says_so(tmp_path: Path) -> None:
    choice = choose(deciding(tmp_path), 4, ("edge-1",), PRISM)
    assert (choice.plan, choice.fallback) == (LOCAL, "alone")
    assert f"{PRISM} was asked for, but only edge-1 in service" in choice.why


# -- the link as it is -------------------------------------------------------------------------


def test_a_link_seen_to_be_slow_makes_it_local_and_a_fast_one_distributed_again(
    tmp_path: Path,
) -> None:
    decider = deciding(tmp_path)
    assert choose(decider).plan.method == "prism"
    for rate_bps, expected in ((SLOW, "local"), (FAST, "prism")):
        for now_s in range(3):
            choice = choose(decider, wanted=PRISM, now_s=now_s)
            decider.observe(choice, run(choice, rate_bps), float(now_s))
        found = choose(decider)
        assert found.plan.method == expected
        assert found.fallback is None  # that is a choice, not a lack of one
    link = decider.link()
    assert link is not None
    assert "observed" in decider.link_text()


def test_one_slow_answer_changes_nothing(tmp_path: Path) -> None:
    decider = deciding(tmp_path)
    choice = choose(decider, wanted=PRISM)
    decider.observe(choice, run(choice, SLOW), 0.0)
    assert choose(decider).plan.method == "prism"


def test_probes_are_observations_and_due_when_nobody_looked(tmp_path: Path) -> None:
    decider = deciding(tmp_path)
    assert decider.probe_due(100.0, 1, idle=True) is None  # with whom?
    size = decider.probe_due(100.0, 2, idle=True)
    assert size is not None
    decider.probed(size, [ALPHA_S + 8 * size / BANDWIDTH_BPS], 100.0)
    assert decider.probe_due(100.1, 2, idle=True) is None
    assert decider.probe_due(110.0, 2, idle=True) is not None
    for now_s in (120.0, 121.0):
        decider.probed(size, [ALPHA_S + 8 * size / SLOW], now_s)
    assert choose(decider).plan == LOCAL
    assert "observed" in decider.link_text()


@pytest.mark.parametrize("changes", [{"fallback": "lost"}, {"plan": "local"}])
def test_a_batch_that_did_not_run_as_chosen_teaches_nothing(
    changes: dict[str, str], tmp_path: Path
) -> None:
    decider = deciding(tmp_path)
    choice = choose(decider)
    before = decider.link()
    for now_s in range(3):
        decider.observe(choice, run(choice, SLOW, (3, 3), **changes), float(now_s))
    assert decider.link() == before
    assert choose(decider).plan == choice.plan


# -- the boards as they are --------------------------------------------------------------------


def computing_s(decider: Decider, choice: Choice) -> float:
    """What the chosen plan is predicted to compute after it took as long as it did."""
    found = choose(decider, choice.batch, now_s=3.0)
    assert found.plan == choice.plan
    assert found.decision is not None
    assert found.decision.predicted is not None
    return found.decision.predicted.terms["compute_s"]


def test_a_leader_that_is_slower_than_profiled_is_learned(tmp_path: Path) -> None:
    decider = deciding(tmp_path)
    for now_s in (0.0, 0.1, 0.2):
        decider.probed(100_000, [100_000 * 8 / SLOW], now_s)
    choice = choose(decider)
    assert choice.plan == LOCAL
    for now_s in (1.0, 2.0, 3.0):
        decider.observe(choice, run(choice, SLOW, (2, 1)), now_s)
    assert computing_s(decider, choice) == pytest.approx(2 * compute_s(VIT, N, N, 1), rel=0.05)


def test_waiting_is_not_computing(tmp_path: Path) -> None:
    decider = deciding(tmp_path)
    choice = choose(decider)
    assert choice.plan.method == "prism"
    before_s = computing_s(decider, choice)
    for now_s in (1.0, 2.0, 3.0):
        decider.observe(choice, run(choice), now_s)
    assert computing_s(decider, choice) == pytest.approx(before_s, rel=0.01)


def test_a_slow_worker_is_given_up_and_it_is_not_the_link(tmp_path: Path) -> None:
    decider = deciding(tmp_path)
    choice = choose(decider)
    for now_s in (1.0, 2.0, 3.0):
        decider.observe(choice, run(choice, paces=(1, 3)), now_s)
    assert choose(decider, now_s=3.0).plan == LOCAL
    link = decider.link()
    assert link is not None
    assert link.bandwidth_bps == pytest.approx(BANDWIDTH_BPS, rel=0.15)


# -- what is noted -----------------------------------------------------------------------------


def test_every_event_is_noted_in_order_with_its_decision(tmp_path: Path) -> None:
    noted: list[tuple[Event, Decision | None, str | None]] = []
    tables.write(tmp_path, profile())
    decider = decider_of(tmp_path, note=lambda *item: noted.append(item))
    decider.models({"net": model()}, 1.0)
    choice = choose(decider, now_s=2.0, left_s=9.0)
    assert len(noted) == 1, "why a plan was taken is said once it is under way"
    decider.observe(choice, run(choice), 3.0)
    assert len(noted) == 3
    decider.probed(4096, [0.1, 0.2], 4.0)
    assert len(noted) == 4
    decider.close()
    decider.close()
    events = [event for event, _, _ in noted]
    assert [type(event) for event in events] == [Started, Asked, Answered, Probed]
    assert [event.now_s for event in events] == [1.0, 2.0, 3.0, 4.0]
    assert [(decision, name) for _, decision, name in noted] == [
        (None, None),
        (choice.decision, choice.id),
        (None, None),
        (None, None),
    ]
    started, asked = events[:2]
    assert isinstance(started, Started)
    assert (started.profile, started.boards) == (digest(tmp_path), BOTH)
    assert isinstance(asked, Asked)
    assert (asked.batch, asked.tokens, asked.boards, asked.left_s) == (1, N, BOTH, 9.0)
    assert [from_json(to_json(event)) for event in events] == events


def test_what_was_noted_decides_the_same_again(tmp_path: Path) -> None:
    noted: list[tuple[Event, Decision | None, str | None]] = []
    tables.write(tmp_path, profile())
    decider = decider_of(tmp_path, note=lambda *item: noted.append(item))
    decider.models({"net": model()}, 0.0)
    for now_s in range(12):
        choice = choose(decider, (1, 4)[now_s % 2], now_s=float(now_s))
        decider.observe(choice, run(choice, SLOW if now_s > 5 else FAST), now_s + 0.5)
    decider.close()
    again = Adaptive({"net": COSTS}, Aim())
    for event, decision, _ in noted:
        replayed = again.step(from_json(to_json(event)))
        assert (replayed is None) == (decision is None)
        if replayed is not None and decision is not None:
            assert (replayed.plan, replayed.why) == (decision.plan, decision.why)
    assert len({str(d.plan) for _, d, _ in noted if d is not None}) > 1


def test_what_was_asked_for_or_has_no_tables_is_not_the_policys(tmp_path: Path) -> None:
    noted: list[tuple[Event, Decision | None, str | None]] = []
    decider = decider_of(tmp_path, note=lambda *item: noted.append(item))
    decider.models({"net": model()}, 0.0)
    choice = choose(decider)
    decider.observe(choice, run(choice), 1.0)
    choose(decider, wanted=PRISM)
    decider.close()
    assert [type(event) for event, _, _ in noted] == [Started]


# -- the policy's settings ---------------------------------------------------------------------


def test_exact_forbids_what_approximates(tmp_path: Path) -> None:
    free = choose(deciding(tmp_path), 1)
    assert not free.plan.exact
    exact = choose(deciding(tmp_path, policy=PolicySettings(exact=True)), 1)
    assert exact.plan.exact
    assert "exact plans only" in exact.why


def test_energy_may_choose_otherwise_than_latency(tmp_path: Path) -> None:
    """Two boards at work draw more than one: the fastest plan is not the cheapest."""
    made = profile(idle_w=0.0, busy_w=10.0, speeds=(1.0, 0.6))

    def chosen(policy: PolicySettings) -> Choice:
        return choose(deciding(tmp_path, made, policy=policy), 4)

    fastest, cheapest = (
        chosen(PolicySettings(objective=objective)).decision for objective in ("latency", "energy")
    )
    assert fastest is not None
    assert fastest.predicted is not None
    assert cheapest is not None
    assert cheapest.predicted is not None
    assert fastest.predicted.latency_s < cheapest.predicted.latency_s
    assert cheapest.predicted.energy_j is not None
    assert fastest.predicted.energy_j is not None
    assert cheapest.predicted.energy_j < fastest.predicted.energy_j


def test_a_budget_of_accuracy_forbids_what_was_never_evaluated(tmp_path: Path) -> None:
    policy = PolicySettings(max_accuracy_drop=0.01)
    decider = deciding(tmp_path, policy=policy)
    choice = choose(decider)
    assert choice.plan.exact
    assert "at most 0.01 less accuracy (out: " in choice.why
    assert "never measured)" in choice.why
    # who names a plan gets it, and is told
    named = choose(decider, wanted=PRISM)
    assert named.plan == PRISM
    assert named.why == (
        "asked for by the request; not for the policy to take: its accuracy was never measured, "
        "and at most 0.01 may be lost"
    )
    assert choose(decider, wanted=LOCAL).why == "asked for by the request"
    exact = deciding(tmp_path, policy=PolicySettings(exact=True))
    assert "the policy may take exact plans only" in choose(exact, wanted=PRISM).why


@pytest.mark.parametrize(("limit", "taken"), [(0.02, PRISM), (0.005, None)])
def test_a_budget_is_spent_on_what_was_measured(
    limit: float, taken: Plan | None, tmp_path: Path
) -> None:
    row = {"model": "net", "plan": str(PRISM), "dataset": "d", "n": 500}
    drop = tables.AccuracyRow(**row, metric="drop", value=0.0, ci_low=-0.01, ci_high=0.01)  # type: ignore[arg-type]
    made = replace(profile(segments=(10,), bandwidth_bps=FAST), accuracy=(drop,))
    choice = choose(deciding(tmp_path, made, policy=PolicySettings(max_accuracy_drop=limit)))
    assert (choice.plan == PRISM) == (taken is not None)
    assert choice.plan == PRISM or choice.plan.exact


def test_a_deadline_reaches_the_policy(tmp_path: Path) -> None:
    choice = choose(deciding(tmp_path), left_s=0.001)
    assert "no plan is sure to take less than the 0.001 s" in choice.why
