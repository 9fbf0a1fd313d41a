"""Many plans at once take what the formula of docs/policy.md says of each, term by term."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from statistics import mean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from measured import BERT, GPT2, VIT, profile

from prism_edge.layout import Layout, batch_shares, token_layout
from prism_edge.plan import Plan
from prism_edge.schedule.cost import Costs, costs_of
from prism_edge.schedule.link import LinkState
from prism_edge.schedule.panel import TERMS, Overheads
from prism_edge.schedule.work import Work
from prism_edge.traffic import input_bytes, output_bytes

SPEEDS = (1.0, 0.6, 0.8, 0.5)
BATCHES = (1, 2, 3, 4, 6, 8)
WIDE = profile(VIT, boards=4, speeds=SPEEDS, batches=BATCHES)
ENCODER, DECODER = (
    profile(shape, boards=4, speeds=SPEEDS, batches=BATCHES, tokens=(256,), segments=(1, 8))
    for shape in (BERT, GPT2)
)
HALF = profile(VIT, boards=4, speeds=SPEEDS, batches=BATCHES, half_duplex=True)
CASES = [
    (costs_of(made, "net"), tokens)
    for made, tokens in ((WIDE, 197), (ENCODER, 256), (DECODER, 256), (HALF, 197))
]
PLANS = [
    Plan.parse(text)
    for text in (
        "local",
        "split:p=2",
        "split:p=2,share=2/1",
        "split:p=2,share=1/3",
        "split:p=3",
        "split:p=4,share=2/1/1/2",
        "prism:p=2,l=1,dtype=fp16",
        "prism:p=2,l=8,dtype=fp32",
        "prism:p=3,l=8,dtype=fp16,pieces=2",
        "prism:p=4,l=1,dtype=int8",
        "voltage:p=2,dtype=fp16",
        "voltage:p=3,dtype=fp32",
        "voltage:p=4,dtype=fp16",
        "split+prism:p=2,l=8,dtype=fp16",
        "split+prism:p=3,l=1,dtype=fp32",
    )
]
Slack = Callable[[Sequence[float], Sequence[float]], float]


def slack_of(blocks_s: Sequence[float], free_s: Sequence[float]) -> float:
    """The slowest block less the mean of the two largest tied parts."""
    tied = sorted(block - free for block, free in zip(blocks_s, free_s, strict=True))
    return max(blocks_s) - mean(tied[-2:])


def least_free(blocks_s: Sequence[float], free_s: Sequence[float]) -> float:
    """What a careless reader might take for the slack: right only when boards are equal."""
    return min(free_s)


def reference(
    costs: Costs,
    plan: Plan,
    batch: int,
    tokens: int,
    link: LinkState,
    paces: Sequence[float],
    slack: Slack = slack_of,
) -> dict[str, float]:
    """The formula in plain Python, one plan at a time."""
    terms = dict.fromkeys(TERMS, 0.0)
    for part, count in plan.parts(batch):
        layout = token_layout(part, costs.shape, tokens)
        take = divided if part.method == "split" else together
        for name, value_s in take(costs, layout, count, link, paces, slack).items():
            terms[name] += value_s
    terms["request_s"] = costs.overheads.request_s
    return terms


def move_s(costs: Costs, link: LinkState, size: int) -> float:
    assert costs.links is not None
    if size == 0:
        return 0.0
    line = costs.links.oneway
    return line.alpha_s + 8 * max(0.0, size - line.burst_bytes) / link.bandwidth_bps


def computing_s(
    costs: Costs, rank: int, own: int, known: int, batch: int, paces: Sequence[float]
) -> float:
    spread = costs.cells[rank].time(own, known, batch)
    assert spread is not None
    return spread.mid_s * paces[rank]


def divided(
    costs: Costs, layout: Layout, batch: int, link: LinkState, paces: Sequence[float], slack: Slack
) -> dict[str, float]:
    """Shares leave one after another while the leader computes; answers are taken in rank order."""
    shares, n = batch_shares(layout.plan, batch), layout.tokens
    computes = [computing_s(costs, r, n, n, share, paces) for r, share in enumerate(shares)]
    sent_s, done_s, back_s = 0.0, computes[0], 0.0
    for rank in range(1, layout.plan.p):
        sent_s += move_s(costs, link, input_bytes(layout, rank, batch))
        answer_s = move_s(costs, link, output_bytes(layout, rank, batch))
        done_s = max(done_s, sent_s + computes[rank]) + answer_s
        back_s += answer_s
    input_s = max(0.0, done_s - max(computes) - back_s)
    output_s = done_s - max(computes) - input_s
    return {"compute_s": max(computes), "input_s": input_s, "output_s": output_s}


def together(
    costs: Costs, layout: Layout, batch: int, link: LinkState, paces: Sequence[float], slack: Slack
) -> dict[str, float]:
    """Every rank computes its tokens; messages cost what outlasts what is computed meanwhile."""
    shape, ranks = costs.shape, range(layout.ranks)
    computes = [computing_s(costs, r, layout.own[r], layout.known(r), batch, paces) for r in ranks]
    blocks_s = [compute / shape.blocks for compute in computes]
    pieces = len(layout.pieces(batch))
    free_s = []
    for rank in ranks:
        own, width = layout.own[rank], shape.width
        macs = 3.0 * own * width**2
        macs += (own * width**2 + 2 * own * width * shape.ffn) * (1 - 1 / pieces)
        free_s.append(blocks_s[rank] * macs / layout.macs(rank))
    exposed_s = overhead_s = 0.0
    first = True
    for block in range(1, shape.blocks):
        sizes = {
            pair: layout.payload_bytes(rows, batch) for pair, rows in layout.messages(block).items()
        }
        if not sizes:
            continue
        competing = sum(sizes.values())
        if costs.links is None or not costs.links.half_duplex:
            sent = [sum(n for (a, _), n in sizes.items() if a == rank) for rank in ranks]
            received = [sum(n for (_, b), n in sizes.items() if b == rank) for rank in ranks]
            competing = max(*sent, *received)
        bytes_s = 8 * max(0.0, competing - link.burst_bytes) / link.bandwidth_bps
        once_s = costs.overheads.exchange_s + costs.overheads.byte_s * competing
        times = 1
        if not shape.causal:
            late_s = link.alpha_s + bytes_s - slack(blocks_s, free_s)
        elif first:
            times, late_s = layout.ranks - 1, link.alpha_s + bytes_s - min(free_s)
        else:
            late_s = bytes_s - max(blocks_s)
        first = False
        exposed_s += times * max(0.0, late_s)
        overhead_s += times * once_s
    return {
        "compute_s": max(computes),
        "exchange_s": exposed_s + overhead_s,
        "input_s": sum(move_s(costs, link, input_bytes(layout, r, batch)) for r in ranks),
        "output_s": sum(move_s(costs, link, output_bytes(layout, r, batch)) for r in ranks),
    }


def fitting(costs: Costs, batch: int, tokens: int) -> list[tuple[Plan, Work]]:
    found = [(plan, costs.work(plan, batch, tokens)) for plan in PLANS]
    return [(plan, work) for plan, work in found if not isinstance(work, str)]


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from(CASES),
    st.sampled_from(BATCHES),
    st.floats(5, 10),
    st.floats(0, 0.05),
    st.floats(0, 1e5),
    st.tuples(*[st.floats(0.5, 4)] * 4),
    st.tuples(st.floats(0, 0.01), st.floats(0, 0.01), st.floats(0, 1e-7)),
)
def test_all_plans_at_once_equal_the_formula_of_each(
    case: tuple[Costs, int],
    batch: int,
    exponent: float,
    alpha_s: float,
    burst_bytes: float,
    paces: tuple[float, ...],
    extra: tuple[float, float, float],
) -> None:
    costs, tokens = case
    assert costs.links is not None
    line = dataclasses.replace(costs.links.exchange, burst_bytes=burst_bytes)
    single = dataclasses.replace(costs.links.oneway, burst_bytes=burst_bytes / 2)
    costs = dataclasses.replace(
        costs,
        links=dataclasses.replace(costs.links, exchange=line, oneway=single),
        overheads=Overheads(request_s=extra[0], exchange_s=extra[1], byte_s=extra[2]),
    )
    link = LinkState(
        alpha_s=alpha_s, bandwidth_bps=10**exponent, source="given", burst_bytes=burst_bytes
    )
    pairs = fitting(costs, batch, tokens)
    assert len(pairs) > 5
    panel = costs.panel([work for _, work in pairs])
    found = panel.terms(link, paces)
    for k, (plan, work) in enumerate(pairs):
        expected = reference(costs, plan, batch, tokens, link, paces)
        assert dict(zip(TERMS, found[:, k], strict=True)) == pytest.approx(
            expected, rel=1e-9, abs=1e-12
        ), str(plan)
        alone = costs.panel([work]).terms(link, paces)
        assert list(alone[:, 0]) == pytest.approx(list(found[:, k]), rel=1e-12, abs=1e-15)


def test_the_law_can_fail() -> None:
    """Negative control: where boards differ, the free part of the faster one is not the slack."""
    costs, tokens = CASES[0]
    assert costs.links is not None
    plan = Plan.parse("prism:p=2,l=1,dtype=fp16")
    link = LinkState(alpha_s=0.05, bandwidth_bps=1e6, source="given")
    for paces, equal in (((1.0, 0.6, 1.0, 1.0), True), ((1.0, 3.0, 1.0, 1.0), False)):
        right, wrong = (
            reference(costs, plan, 1, tokens, link, paces, slack)["exchange_s"]
            for slack in (slack_of, least_free)
        )
        assert (wrong == pytest.approx(right, rel=0.02)) is equal


def test_the_slack_of_unequal_boards_by_hand() -> None:
    """A board three times as fast waits anyway: a message may be late by most of what it waits."""
    assert slack_of([0.3, 0.1], [0.06, 0.02]) == pytest.approx(0.3 - (0.24 + 0.08) / 2)
    assert slack_of([0.3, 0.3], [0.06, 0.06]) == pytest.approx(0.06)
    assert slack_of([0.3, 0.3, 0.1], [0.06, 0.06, 0.02]) == pytest.approx(0.06)


def test_each_rank_is_busy_for_its_own_computing() -> None:
    costs, tokens = CASES[0]
    pairs = fitting(costs, 3, tokens)
    panel = costs.panel([work for _, work in pairs])
    busy = panel.busy((1.0, 2.0, 1.0, 1.0))
    for k, (plan, work) in enumerate(pairs):
        for rank in range(4):
            mid_s = work.computes[rank].mid_s if rank < plan.p else 0.0
            assert busy[rank, k] == pytest.approx((2.0 if rank == 1 else 1.0) * mid_s)


def test_without_a_link_one_rank_still_takes_its_time() -> None:
    costs, tokens = CASES[0]
    work = costs.work(Plan.parse("local"), 1, tokens)
    assert isinstance(work, Work)
    terms = costs.panel([work]).terms(None, (1.5, 1, 1, 1))
    assert float(terms.sum()) == pytest.approx(1.5 * work.computes[0].mid_s)
