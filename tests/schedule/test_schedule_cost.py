from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from measured import ALPHA_S, BANDWIDTH_BPS, BERT, GPT2, VIT, compute_s, plans, profile

from prism_edge.errors import TableError
from prism_edge.layout import block_macs, token_layout
from prism_edge.plan import LOCAL, Plan
from prism_edge.schedule.cost import Costs, Prediction, Unpredictable, costs_of, predict
from prism_edge.schedule.link import LinkState
from prism_edge.traffic import input_bytes, output_bytes

COSTS = costs_of(profile(), "net")
ENCODER = costs_of(profile(BERT, boards=3, tokens=(128, 512), segments=(1, 8)), "net")
DECODER = costs_of(profile(GPT2, boards=3, tokens=(64, 512), segments=(1, 16)), "net")


def link(bandwidth_bps: float, alpha_s: float = ALPHA_S) -> LinkState:
    return LinkState(alpha_s=alpha_s, bandwidth_bps=bandwidth_bps, source="observed")


def predicted(
    costs: Costs,
    text: str,
    batch: int,
    tokens: int,
    over: LinkState | None = None,
    paces: Sequence[float] | None = None,
) -> Prediction:
    found = predict(costs, Plan.parse(text), batch, tokens, over or costs.link, paces)
    assert isinstance(found, Prediction), found
    return found


def test_local_is_what_was_measured_on_the_leader() -> None:
    found = predicted(COSTS, "local", 4, 197)
    assert found.latency_s == pytest.approx(compute_s(VIT, 197, 197, 4))
    assert {name for name, value_s in found.terms.items() if value_s} == {"compute_s"}
    assert found.work.wire_bytes == 0


def test_local_is_rank_0_and_distributed_is_the_slowest_rank() -> None:
    uneven = costs_of(profile(speeds=(1.0, 0.5)), "net")
    assert predicted(uneven, "local", 1, 197).latency_s == pytest.approx(
        compute_s(VIT, 197, 197, 1)
    )
    both = predicted(uneven, "prism:p=2,l=10,dtype=fp16", 1, 197).terms["compute_s"]
    assert both == pytest.approx(compute_s(VIT, 98, 108, 1, speed=0.5))
    turned = uneven.ranked(["edge-2", "edge-1"])
    assert predicted(turned, "local", 1, 197).latency_s == pytest.approx(
        compute_s(VIT, 197, 197, 1, speed=0.5)
    )


def test_prism_term_by_term_on_a_slow_link() -> None:
    """Every term by hand: 11 exchanges less own q, k, v; input to one rank."""
    plan = Plan.parse("prism:p=2,l=10,dtype=fp32")
    over = link(1e6)
    found = predicted(COSTS, str(plan), 2, 197, over)
    layout = token_layout(plan, VIT, 197)
    tau_s = ALPHA_S + 8 * 2 * 10 * 768 * 4 / 1e6
    blocks_s = [compute_s(VIT, n, m, 2) / 12 for n, m in ((99, 109), (98, 108))]
    hidden_s = [
        blocks_s[rank] * 3 * n * 768**2 / block_macs(VIT, n, m)
        for rank, (n, m) in enumerate(((99, 109), (98, 108)))
    ]
    tied_s = [block_s - free_s for block_s, free_s in zip(blocks_s, hidden_s, strict=True)]
    exposed_s = 11 * (tau_s - (max(blocks_s) - sum(tied_s) / 2))
    assert found.terms["exchange_s"] == pytest.approx(exposed_s, rel=1e-6)
    sent_s = ALPHA_S / 2 + 8 * input_bytes(layout, 1, 2) / 1e6
    assert found.terms["input_s"] == pytest.approx(sent_s)
    assert found.terms["output_s"] == 0  # rank 0 owns the class token
    assert found.terms["compute_s"] == pytest.approx(compute_s(VIT, 99, 109, 2))


def test_a_fast_link_hides_behind_the_own_projections() -> None:
    assert predicted(COSTS, "prism:p=2,l=1,dtype=fp16", 8, 197, link(1e9)).terms["exchange_s"] == 0
    assert predicted(COSTS, "voltage:p=2", 8, 197, link(1e8)).terms["exchange_s"] > 0


def test_pieces_hide_more_and_uneven_parts_are_looked_up_as_they_are() -> None:
    over = link(10e6)
    whole, cut = (
        predicted(COSTS, f"prism:p=2,l=10,dtype=fp32{more}", 4, 197, over)
        for more in ("", ",pieces=2")
    )
    assert cut.terms["exchange_s"] < whole.terms["exchange_s"]
    assert cut.terms["compute_s"] == whole.terms["compute_s"]
    assert cut.work.wire_bytes == whole.work.wire_bytes
    single = predicted(COSTS, "prism:p=2,l=10,dtype=fp32,pieces=2", 1, 197, over)
    assert single == dataclasses.replace(
        predicted(COSTS, "prism:p=2,l=10,dtype=fp32", 1, 197, over), plan=single.plan
    )
    uneven = predicted(COSTS, "voltage:p=2,share=101/96", 4, 197, over)
    assert uneven.terms["compute_s"] == pytest.approx(compute_s(VIT, 101, 197, 4))


def test_split_answers_come_back_while_the_leader_computes() -> None:
    """At batch 3 the leader has two samples: what the other one waits for hides behind them."""
    even = predicted(COSTS, "split:p=2", 4, 197, link(20e6))
    out_s = ALPHA_S / 2 + 8 * 2 * 4000 / 20e6
    in_s = ALPHA_S / 2 + 8 * 2 * 150_528 / 20e6
    assert even.latency_s == pytest.approx(compute_s(VIT, 197, 197, 2) + in_s + out_s)
    odd = predicted(COSTS, "split:p=2", 3, 197, link(20e6))
    back_s = ALPHA_S / 2 + 8 * 4000 / 20e6
    assert odd.latency_s == pytest.approx(compute_s(VIT, 197, 197, 2) + back_s)
    assert odd.terms["input_s"] == 0


def test_split_on_three_boards_waits_for_inputs_in_turn() -> None:
    costs = costs_of(profile(boards=3, batches=(1, 3, 6)), "net")
    found = predicted(costs, "split:p=3", 3, 197, link(1e6))
    one_s = compute_s(VIT, 197, 197, 1)
    in_s = ALPHA_S / 2 + 8 * 150_528 / 1e6
    out_s = ALPHA_S / 2 + 8 * 4000 / 1e6
    # the second worker's input follows the first's, and its answer comes back last
    assert found.latency_s == pytest.approx(2 * in_s + one_s + out_s)


def test_causal_ranks_wait_once_not_at_every_block() -> None:
    over = link(100e6, alpha_s=0.050)
    text = "prism:p=2,l=16,dtype=fp16"
    causal = predicted(DECODER, text, 1, 512, over)
    mutual_shape = dataclasses.replace(GPT2, causal=False)
    mutual = costs_of(profile(mutual_shape, tokens=(64, 512), segments=(1, 16)), "net")
    both_ways = predicted(mutual, text, 1, 512, over)
    assert causal.terms["exchange_s"] < 0.055
    assert both_ways.terms["exchange_s"] > 9 * causal.terms["exchange_s"]


def test_causal_bytes_that_outlast_a_block_add_up() -> None:
    over = link(1e6)
    found = predicted(DECODER, "prism:p=2,l=16,dtype=fp16", 1, 512, over)
    bytes_s = 8 * 16 * 768 * 2 / 1e6
    block_s = compute_s(GPT2, 256, 272, 1) / 12
    own_s = block_s * 3 * 256 * 768**2 / block_macs(GPT2, 256, 272)
    expected = (ALPHA_S + bytes_s - own_s) + 10 * (bytes_s - block_s)
    assert found.terms["exchange_s"] == pytest.approx(expected)


def test_only_rows_that_another_rank_owns_come_back() -> None:
    text = "prism:p=2,l=16,dtype=fp16"
    last = predicted(DECODER, text, 2, 512)
    assert last.terms["output_s"] == 0  # the leader owns the last token
    shape = dataclasses.replace(GPT2, needs="all")
    every = predicted(costs_of(profile(shape, tokens=(512,), segments=(16,)), "net"), text, 2, 512)
    size = output_bytes(token_layout(every.plan, shape, 512), 1, 2)
    assert size == 2 * 256 * 768 * 4
    assert every.terms["output_s"] == pytest.approx(ALPHA_S / 2 + 8 * size / BANDWIDTH_BPS)


def test_three_ranks_send_to_two_others_and_a_shared_medium_carries_all() -> None:
    over = link(1e6)
    text = "prism:p=3,l=8,dtype=fp16"
    switched = predicted(ENCODER, text, 1, 512, over)
    air = costs_of(
        profile(BERT, boards=3, tokens=(128, 512), segments=(1, 8), half_duplex=True), "net"
    )
    shared = predicted(air, text, 1, 512, over)
    row = 8 * 768 * 2
    assert switched.work.exchange_bytes == 2 * row
    assert shared.work.exchange_bytes == 6 * row
    assert shared.latency_s > switched.latency_s


@pytest.mark.parametrize(("costs", "tokens"), [(COSTS, 197), (ENCODER, 300), (DECODER, 512)])
def test_terms_add_up_and_lie_in_their_interval(costs: Costs, tokens: int) -> None:
    for plan in plans(len(costs.boards), (1, 8)):
        for batch in (3, 8):
            for rate in (1e5, 1e7, 1e9):
                found = predict(costs, plan, batch, tokens, link(rate))
                assert isinstance(found, Prediction), found
                assert sum(found.terms.values()) == pytest.approx(found.latency_s)
                assert all(value >= 0 for value in found.terms.values())
                assert found.low_s <= found.latency_s <= found.high_s


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from([(COSTS, 197), (ENCODER, 512), (ENCODER, 200), (DECODER, 512)]),
    st.integers(0, 10),
    st.integers(2, 8),
    st.floats(4, 10),
    st.floats(4, 10),
    st.floats(0, 0.1),
    st.floats(0, 0.1),
)
def test_a_slower_link_never_makes_a_plan_cheaper(
    case: tuple[Costs, int],
    index: int,
    batch: int,
    one: float,
    other: float,
    alpha_s: float,
    more_s: float,
) -> None:
    costs, tokens = case
    options = [plan for plan in plans(len(costs.boards), (1, 8)) if plan.p <= batch]
    plan = options[index % len(options)]
    slow = link(10 ** min(one, other), alpha_s + more_s)
    fast = link(10 ** max(one, other), alpha_s)
    over_slow, over_fast = (predict(costs, plan, batch, tokens, over) for over in (slow, fast))
    assert isinstance(over_slow, Prediction)
    assert isinstance(over_fast, Prediction)
    assert over_slow.latency_s >= over_fast.latency_s - 1e-12
    if plan.p == 1:
        assert over_slow.latency_s == over_fast.latency_s


@pytest.mark.parametrize(
    ("text", "batch", "tokens", "says"),
    [
        ("local", 9, 197, "not profiled: n=197, M=197, batch 9"),
        ("split:p=2", 17, 197, "not profiled"),
        ("split:p=2", 1, 197, "rank 1 would have no sample of a batch of 1"),
        ("split:p=2,share=9/1", 4, 197, "rank 1 would have no sample of a batch of 4"),
        ("split+prism:p=2,l=10,share=2/1", 3, 197, "not profiled: n=66, M=76, batch 1 on rank 1"),
        ("astra:p=2,g=32", 2, 197, "not profiled: the search for codes"),
        ("prism:p=2,l=10" + "/10" * 11, 2, 197, "differ from block to block"),
        ("prism:p=2,l=10,share=2/1", 2, 197, "not profiled: n=66, M=76, batch 2 on rank 1"),
        ("prism:p=3,l=10", 1, 197, "3 ranks, but 2 board"),
        ("prism:p=2,l=100", 1, 197, "at most l=99"),
        ("local", 1, 300, "positions for 197"),
    ],
)
def test_what_was_not_profiled_is_not_predicted(
    text: str, batch: int, tokens: int, says: str
) -> None:
    found = predict(COSTS, Plan.parse(text), batch, tokens, COSTS.link)
    assert isinstance(found, Unpredictable)
    assert says in found.reason


def test_without_a_link_only_local_is_predicted() -> None:
    costs = costs_of(dataclasses.replace(profile(), link=()), "net")
    assert costs.link is None
    assert isinstance(predict(costs, LOCAL, 1, 197, None), Prediction)
    for text in ("split:p=2", "prism:p=2,l=10", "voltage:p=2"):
        for over in (None, link(1e8)):  # an observed rate does not say what a message costs
            found = predict(costs, Plan.parse(text), 2, 197, over)
            assert isinstance(found, Unpredictable)
            assert found.reason == "not profiled: the link"


def test_a_board_that_is_slower_now_takes_its_pace_to_its_own_computing() -> None:
    text, over = "prism:p=2,l=10,dtype=fp32", link(1e6)
    plain, hot, far = (
        predicted(COSTS, text, 4, 197, over, paces) for paces in (None, (2, 2), (1, 3))
    )
    assert hot.terms["compute_s"] == pytest.approx(2 * plain.terms["compute_s"])
    assert hot.terms["input_s"] == plain.terms["input_s"]
    assert hot.terms["exchange_s"] < plain.terms["exchange_s"]  # slower boards hide more
    assert far.terms["compute_s"] == pytest.approx(3 * compute_s(VIT, 98, 108, 4))
    for paces, local_pace in (((2, 1), 2), ((1, 2), 1)):
        assert predicted(COSTS, "local", 4, 197, over, paces).latency_s == pytest.approx(
            local_pace * compute_s(VIT, 197, 197, 4)
        )


def test_a_hybrid_is_its_parts_one_after_another() -> None:
    over = link(1e7)
    whole = predicted(COSTS, "split+prism:p=2,l=10,dtype=fp16", 3, 197, over)
    parts = [
        predicted(COSTS, text, batch, 197, over)
        for text, batch in (("split:p=2", 2), ("prism:p=2,l=10,dtype=fp16", 1))
    ]
    for name, value_s in whole.terms.items():
        assert value_s == pytest.approx(sum(part.terms[name] for part in parts))
    assert whole.work.exchanges == 11


class TestEnergy:
    def test_it_is_null_without_power(self) -> None:
        for made in (profile(), profile(idle_w=2.0), profile(busy_w=7.0)):
            found = predicted(costs_of(made, "net"), "local", 1, 197)
            assert found.energy_j is None

    def test_idle_boards_count(self) -> None:
        costs = costs_of(profile(idle_w=2.0, busy_w=7.0), "net")
        alone = predicted(costs, "local", 1, 197)
        assert alone.energy_j == pytest.approx((7 + 2) * alone.latency_s)

    def test_waiting_costs_idle_power_on_every_board(self) -> None:
        costs = costs_of(profile(idle_w=2.0, busy_w=7.0), "net")
        found = predicted(costs, "prism:p=2,l=10,dtype=fp16", 1, 197, link(1e6))
        busy_s = compute_s(VIT, 99, 109, 1) + compute_s(VIT, 98, 108, 1)
        assert found.energy_j == pytest.approx(2 * 2 * found.latency_s + 5 * busy_s)


class TestMeasuredSegments:
    @pytest.mark.parametrize(
        ("make", "tokens", "expected"),
        [
            (lambda: profile(segments=(1, 10, 20)), 197, (1, 10, 20)),
            (lambda: profile(boards=3, segments=(2, 7)), 197, (2, 7)),
            (lambda: profile(segments=()), 197, ()),
            (lambda: profile(GPT2, tokens=(64, 512), segments=(4,)), 512, (4,)),
            (lambda: profile(GPT2, tokens=(64, 512), segments=(4,)), 100, ()),
        ],
    )
    def test_they_are_those_of_the_profile(
        self, make: Callable[..., object], tokens: int, expected: tuple[int, ...]
    ) -> None:
        assert costs_of(make(), "net").segments(tokens) == expected  # type: ignore[arg-type]


def test_an_unknown_model_or_board_or_dtype_is_named() -> None:
    with pytest.raises(TableError, match=r"model 'other' was not profiled \(profiled: net\)"):
        costs_of(profile(), "other")
    with pytest.raises(TableError, match="board 'edge-7' was not profiled"):
        COSTS.ranked(["edge-1", "edge-7"])
    with pytest.raises(TableError, match="name one compute dtype of fp32"):
        costs_of(profile(), "net", dtype="fp16")
    made = profile()
    half = tuple(dataclasses.replace(row, dtype="fp16") for row in made.compute)
    both = dataclasses.replace(made, compute=made.compute + half)
    with pytest.raises(TableError, match="name one compute dtype of fp16, fp32"):
        costs_of(both, "net")
    assert costs_of(both, "net", dtype="fp16").cells


def test_what_is_kept_is_what_would_be_computed() -> None:
    """Of two costs made alike; and in the order of the ranks, of boards that differ."""
    plan = Plan.parse("prism:p=2,l=10,dtype=fp16")
    made = profile(GPT2, tokens=(197,), speeds=(1.0, 0.5))
    costs, again = costs_of(made, "net"), costs_of(made, "net")
    assert costs.work(plan, 2, 197) == again.work(plan, 2, 197)
    assert costs.ranked(["edge-2", "edge-1"]).work(plan, 2, 197) != costs.work(plan, 2, 197)


def test_three_causal_ranks_fall_behind_once_each() -> None:
    """The third waits for the second, which waited for the first; inputs go out in turn."""
    over = link(1e9, alpha_s=0.050)
    two, three = (predicted(DECODER, f"prism:p={p},l=16,dtype=fp16", 1, 512, over) for p in (2, 3))
    (part,) = three.work.parts
    first, later = part.waves
    assert (first.count, first.latency, later.latency) == (2, True, False)
    free_s = min(
        free * spread.mid_s / 12 for free, spread in zip(part.free, part.computes, strict=True)
    )
    expected_s = 2 * (over.exchange_s(first.competing_bytes) - free_s)
    assert three.terms["exchange_s"] == pytest.approx(expected_s)
    assert three.terms["exchange_s"] > 1.9 * two.terms["exchange_s"]
    assert three.terms["input_s"] == pytest.approx(2 * two.terms["input_s"])
