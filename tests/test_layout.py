"""The size arithmetic against the papers' golden numbers. Letters as in layout.py."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st
from measured import BERT, GPT2, VIT

from prism_edge.errors import PlanError
from prism_edge.layout import (
    Layout,
    ModelShape,
    batch_shares,
    block_macs,
    check_fits,
    even,
    segment_sizes,
    shared,
    token_layout,
)
from prism_edge.plan import LOCAL, Plan


def layout(text: str, shape: ModelShape, tokens: int) -> Layout:
    return token_layout(Plan.parse(text), shape, tokens)


# operations


@pytest.mark.parametrize(
    ("shape", "text", "tokens", "macs"),
    [
        (BERT, "local", 256, 1_912_602_624),
        (BERT, "voltage:p=2", 256, 1_107_296_256),
        (BERT, "prism:p=2,l=1", 256, 932_511_744),
        (VIT, "local", 197, 1_453_954_560),
        (VIT, "voltage:p=2", 197, 846_273_024),
        (VIT, "prism:p=2,l=1", 197, 717_096_960),
        (VIT, "prism:p=2,l=10", 197, 729_082_368),
        (VIT, "prism:p=3,l=10", 197, 499_451_904),
        (VIT, "prism:p=4,l=10", 197, 395_427_840),
        (GPT2, "local", 1024, 8_858_370_048),
        (GPT2, "prism:p=2,l=128", 1024, 4_278_190_080),
        (GPT2, "prism:p=4,l=64", 1024, 2_214_592_512),
    ],
)
def test_golden_operations(shape: ModelShape, text: str, tokens: int, macs: int) -> None:
    """The slowest rank's, which is the leader: it owns the larger part, or hears everybody."""
    made = layout(text, shape, tokens)
    assert made.macs(0) == macs
    assert max(made.macs(rank) for rank in range(made.ranks)) == macs


def test_the_papers_saving_of_51_24_percent() -> None:
    alone = layout("local", BERT, 256).macs(0)
    assert 1 - layout("prism:p=2,l=1", BERT, 256).macs(0) / alone == pytest.approx(0.5124, abs=5e-5)
    # negative controls: full exchange, and a length or width that is not the paper's, do not fit
    assert 1 - layout("voltage:p=2", BERT, 256).macs(0) / alone == pytest.approx(0.4211, abs=5e-5)
    shorter = layout("prism:p=2,l=1", BERT, 128).macs(0) / layout("local", BERT, 128).macs(0)
    assert 1 - shorter == pytest.approx(0.5054, abs=5e-5)
    large = dataclasses.replace(BERT, width=1024, ffn=4096, blocks=24)
    wider = layout("prism:p=2,l=1", large, 256).macs(0) / layout("local", large, 256).macs(0)
    assert 1 - wider == pytest.approx(0.5093, abs=5e-5)


def test_astra_computes_as_much_as_voltage_and_the_search_for_its_codes() -> None:
    made = layout("astra:p=2,g=32", VIT, 197)
    assert (made.own, made.known(0), made.known(1)) == ((99, 99), 197, 197)
    without = block_macs(VIT, 99, 197)
    assert without == layout("voltage:p=2", VIT, 197).macs(0)
    assert made.macs(0) == made.macs(1) == without + 98 * 1024 * 768
    fewer = layout("astra:p=2,g=32,k=256", VIT, 197)
    assert fewer.macs(0) == without + 98 * 256 * 768
    unheard = layout("astra:p=2,g=32", GPT2, 128)
    assert unheard.macs(0) == block_macs(GPT2, 64, 128)  # the last to speak has nobody to tell
    assert unheard.macs(1) == block_macs(GPT2, 64, 64) + 64 * 1024 * 768


def test_blocks_cost_what_is_known_at_them() -> None:
    made = layout("prism:p=2,l=10/0/20" + "/4" * 9, VIT, 197)
    found = [made.macs(0, block) for block in range(4)]
    assert found == [block_macs(VIT, 99, 99 + heard) for heard in (10, 10, 20, 4)]


# bytes


def two_way(shape: ModelShape) -> ModelShape:
    """The same model without last-block pruning: every rank computes every block."""
    return dataclasses.replace(shape, needs="all")


@pytest.mark.parametrize(
    ("shape", "text", "tokens", "one", "all_two_way", "last_one_way"),
    [
        (VIT, "voltage:p=2", 197, 605_184, 6_657_024, 6_352_896),
        (VIT, "prism:p=2,l=10", 197, 61_440, 675_840, 645_120),
        (VIT, "prism:p=2,l=10,dtype=fp16", 197, 30_720, 337_920, 322_560),
        (VIT, "prism:p=2,l=10,dtype=int8", 197, 15_360 + 80, 168_960 + 880, 161_280 + 840),
        (VIT, "prism:p=2,l=1", 197, 6_144, 67_584, 64_512),
        (VIT, "prism:p=2,l=1,dtype=fp16", 197, 3_072, 33_792, 32_256),
        (BERT, "voltage:p=2", 256, 786_432, 8_650_752, 8_257_536),
        (BERT, "prism:p=2,l=1", 256, 6_144, 67_584, 64_512),
        (GPT2, "voltage:p=2", 1024, 1_572_864, 17_301_504, 17_301_504),
        (GPT2, "prism:p=2,l=128", 1024, 393_216, 4_325_376, 4_325_376),
    ],
)
def test_golden_bytes(
    shape: ModelShape, text: str, tokens: int, one: int, all_two_way: int, last_one_way: int
) -> None:
    plain, pruned = layout(text, two_way(shape), tokens), layout(text, shape, tokens)
    assert sum(plain.payload_bytes(rows, 1) for rows in plain.messages(1).values()) == one
    assert plain.exchange_bytes(1) == all_two_way
    assert pruned.exchange_bytes(1) == last_one_way
    assert pruned.exchange_bytes(3) == 3 * last_one_way


@pytest.mark.parametrize(
    ("g", "one", "eleven"), [(32, 7_840, 86_240), (16, 3_920, 43_120), (1, 246, 2_706)]
)
def test_golden_bytes_of_codes(g: int, one: int, eleven: int) -> None:
    """Codes of 10 bits, the class token on both ranks (98 + 98 others) and pooled at the end."""
    for shape in (VIT, two_way(VIT)):
        made = layout(f"astra:p=2,g={g}", shape, 197)
        assert sum(made.payload_bytes(rows, 1) for rows in made.messages(1).values()) == one
        assert made.exchange_bytes(1) == eleven


@pytest.mark.parametrize(("k", "bits"), [(2, 1), (3, 2), (256, 8), (257, 9), (1024, 10)])
def test_a_code_takes_the_bits_that_it_needs_and_a_message_whole_bytes(k: int, bits: int) -> None:
    made = layout(f"astra:p=2,g=3,k={k}", GPT2, 64)
    for rows, batch in ((1, 1), (5, 1), (5, 3), (8, 1)):
        assert made.payload_bytes(rows, batch) == -(-batch * rows * 3 * bits // 8)


@pytest.mark.parametrize(
    ("text", "each"), [("fp32", 4 * 768), ("fp16", 2 * 768), ("int8", 768 + 4)]
)
def test_bytes_of_rows(text: str, each: int) -> None:
    made = layout(f"prism:p=2,l=4,dtype={text}", VIT, 197)
    assert made.payload_bytes(4, 3) == 12 * each
    assert made.payload_bytes(0, 3) == layout("local", VIT, 197).payload_bytes(4, 3) == 0


def test_prism_saves_99_2_percent_of_an_exchange() -> None:
    means, full = layout("prism:p=2,l=1", BERT, 256), layout("voltage:p=2", BERT, 256)
    assert 1 - means.exchange_bytes(1) / full.exchange_bytes(1) == pytest.approx(0.992, abs=5e-4)


def test_a_skipped_exchange_costs_nothing() -> None:
    every = layout("prism:p=2,l=10", two_way(VIT), 197)
    half = layout("prism:p=2,l=10" + "/0/10" * 5 + "/0", two_way(VIT), 197)
    assert half.exchange_bytes(1) == every.exchange_bytes(1) * 5 // 11


@pytest.mark.parametrize(("pieces", "batch"), [(2, 5), (3, 2), (8, 1)])
def test_messages_in_pieces_hold_the_same(pieces: int, batch: int) -> None:
    whole = layout("prism:p=2,l=10,dtype=int8", VIT, 197)
    cut = layout(f"prism:p=2,l=10,dtype=int8,pieces={pieces}", VIT, 197)
    assert whole.pieces(batch) == (batch,)
    assert sum(cut.pieces(batch)) == batch
    assert len(cut.pieces(batch)) == min(pieces, batch)
    assert cut.exchange_bytes(batch) == whole.exchange_bytes(batch)


# who owns what


def test_segments_of_the_published_setting() -> None:
    vit = layout("prism:p=2,l=10", VIT, 197)
    assert vit.own == vit.parts == (99, 98)
    assert vit.segments(0) == (1, 11, 11, 11, 11, 11, 11, 11, 11, 10)
    assert sorted(vit.segments(1)) == [9, 9] + [10] * 8
    assert vit.offsets == (0, 99)
    assert (vit.part(0), vit.part(1)) == (slice(0, 99), slice(99, 197))


@pytest.mark.parametrize(
    ("segments", "lead", "trail", "expected"),
    [
        (1, 1, 0, (99,)),  # none to spare for the rest: nobody stands alone
        (2, 1, 0, (1, 98)),
        (1, 0, 1, (99,)),
        (2, 0, 1, (98, 1)),
        (1, 1, 1, (99,)),
        (2, 1, 1, (1, 98)),  # leading tokens come first
        (3, 1, 1, (1, 97, 1)),
        (4, 1, 1, (1, 49, 48, 1)),
        (99, 1, 1, (1,) * 99),
        (3, 0, 0, (33, 33, 33)),
    ],
)
def test_sinks_stand_alone_when_there_are_segments_to_spare(
    segments: int, lead: int, trail: int, expected: tuple[int, ...]
) -> None:
    assert segment_sizes(99, segments, lead=lead, trail=trail) == expected


def test_sinks_of_each_family_are_at_the_ends_of_the_text() -> None:
    vit = layout("prism:p=3,l=4", VIT, 197)
    assert [vit.segments(rank)[0] for rank in range(3)] == [1, 17, 17]
    bert = layout("prism:p=3,l=4", BERT, 99)
    assert bert.segments(0) == (1, 11, 11, 10)
    assert bert.segments(1) == (9, 8, 8, 8)
    assert bert.segments(2) == (11, 11, 10, 1)
    gpt2 = layout("prism:p=3,l=4", GPT2, 99)  # in order of position: 1, 2, 0
    assert gpt2.segments(1) == (1, 11, 11, 10)
    assert gpt2.segments(2) == gpt2.segments(0) == (9, 8, 8, 8)
    plain = dataclasses.replace(GPT2, lead=0)
    assert layout("prism:p=3,l=4", plain, 99).segments(1) == (9, 8, 8, 8)


@given(st.integers(1, 2000), st.integers(1, 64))
def test_even_pieces_add_up_and_differ_by_at_most_one(total: int, parts: int) -> None:
    pieces = even(total, parts)
    assert sum(pieces) == total
    assert max(pieces) - min(pieces) <= 1
    assert list(pieces) == sorted(pieces, reverse=True)


some_shares = st.lists(st.integers(0, 50), min_size=1, max_size=8).filter(any)


@given(st.integers(0, 2000), some_shares)
def test_shares_add_up_and_each_is_within_one_of_its_due(total: int, shares: list[int]) -> None:
    pieces = shared(total, shares)
    assert sum(pieces) == total
    for piece, share in zip(pieces, shares, strict=True):
        assert abs(piece - total * share / sum(shares)) < 1
        assert piece == 0 or share > 0


def test_parts_follow_shares() -> None:
    assert layout("prism:p=2,l=10,share=2/1", VIT, 197).own == (131, 66)  # a board twice as fast
    assert layout("voltage:p=2,share=100/97", VIT, 197).own == (100, 97)
    assert layout("voltage:p=3,share=1/1/1", VIT, 197).own == layout("voltage:p=3", VIT, 197).own
    assert layout("voltage:p=3,share=6/3/1", BERT, 100).own == (60, 30, 10)
    gpt2 = layout("prism:p=2,l=4,share=2/1", GPT2, 96)
    assert (gpt2.own, gpt2.offsets) == ((64, 32), (32, 0))
    few = layout("prism:p=2,l=10,share=20/1", VIT, 197)
    assert [len(few.segments(rank)) for rank in range(2)] == [10, 9]  # 9 tokens make no more


def test_a_class_token_is_on_every_rank_under_astra_only() -> None:
    made = layout("astra:p=3,g=16", VIT, 197)
    assert (made.replicas, made.parts, made.own) == (1, (66, 65, 65), (67, 66, 66))
    assert made.offsets == (1, 67, 132)
    assert made.tokens == 197
    assert made.finishers() == (0, 1, 2)  # each has a row that the head needs
    assert [made.rows(rank) for rank in range(3)] == [1, 1, 1]
    uneven = layout("astra:p=2,g=16,share=3/1", VIT, 197)
    assert uneven.own == (148, 50)
    assert layout("astra:p=2,g=16", GPT2, 64).replicas == 0
    assert layout("prism:p=3,l=4", VIT, 197).replicas == 0


@st.composite
def requests(draw: st.DrawFn) -> tuple[Plan, ModelShape, int]:
    """A plan that exchanges, and a model and a length that it fits."""
    shape = draw(st.sampled_from([VIT, BERT, GPT2]))
    p = draw(st.integers(2, 8))
    tokens = draw(st.integers(60, shape.tokens))
    share = draw(st.none() | st.tuples(*[st.integers(3, 9)] * p))
    method = draw(st.sampled_from(["prism", "voltage", "astra"]))
    if method == "voltage":
        return Plan(method="voltage", p=p, dtype="fp32", share=share), shape, tokens
    if method == "astra":
        return Plan(method="astra", p=p, g=4, share=share), shape, tokens
    parts = shared(tokens, share or [1] * p)
    most = max(parts)
    per_block = st.tuples(st.integers(1, most), *[st.integers(0, most)] * (shape.blocks - 1))
    found = draw(st.integers(1, most) | per_block)
    return Plan(method="prism", p=p, l=found, dtype="fp16", share=share), shape, tokens


@given(requests())
def test_every_token_is_owned_once_and_announced_once(
    drawn: tuple[Plan, ModelShape, int],
) -> None:
    plan, shape, tokens = drawn
    made = token_layout(plan, shape, tokens)
    owned = [i for rank in made.order for i in range(tokens)[made.part(rank)]]
    assert owned == list(range(made.replicas, tokens))
    assert sum(made.parts) + made.replicas == tokens == made.tokens
    assert sorted(made.order) == list(range(plan.p))
    for rank in range(plan.p):
        hears = made.hears(rank)
        assert rank not in hears
        assert list(hears) == sorted(hears, key=made.order.index)
        for block in range(shape.blocks):
            sizes = made.segments(rank, block)
            assert sum(sizes) == made.parts[rank]
            assert min(sizes) > 0
            assert made.known(rank, block) <= tokens
        if plan.method != "prism" and not shape.causal:
            assert made.known(rank) == tokens
        if shape.causal:
            assert all(made.offsets[other] < made.offsets[rank] for other in hears)


# who tells whom


def test_causal_messages_go_to_later_tokens_only_and_the_leader_owns_the_last() -> None:
    made = layout("prism:p=3,l=4", GPT2, 96)
    assert made.order == (1, 2, 0)
    assert made.offsets == (64, 0, 32)
    assert made.hears(1) == ()
    assert made.hears(2) == (1,)
    assert made.hears(0) == (1, 2)
    assert set(made.messages(1)) == {(1, 2), (1, 0), (2, 0)}
    assert set(made.messages(11)) == {(1, 0), (2, 0)}
    assert made.messages(0) == {}
    mutual = layout("prism:p=3,l=4", BERT, 96)
    assert mutual.order == (0, 1, 2)
    assert len(mutual.messages(1)) == 6
    assert set(mutual.messages(11)) == {(1, 0), (2, 0)}


def test_finishers_own_the_rows_that_the_head_needs() -> None:
    assert layout("prism:p=3,l=4", BERT, 96).finishers() == (0,)
    assert layout("prism:p=3,l=4", GPT2, 96).finishers() == (0,)
    assert layout("prism:p=3,l=4", two_way(BERT), 96).finishers() == (0, 1, 2)
    first = dataclasses.replace(GPT2, needs="first")
    made = layout("prism:p=3,l=4", first, 96)
    assert made.finishers() == (1,)
    assert [made.rows(rank) for rank in range(3)] == [0, 1, 0]
    last = dataclasses.replace(BERT, needs="last")
    assert layout("prism:p=3,l=4", last, 96).finishers() == (2,)


def test_a_request_may_need_other_rows_than_the_head() -> None:
    plan = Plan.parse("prism:p=2,l=4")
    made = token_layout(plan, two_way(GPT2), 96, "last")
    assert (made.needs, made.finishers(), made.rows(0)) == ("last", (0,), 1)
    assert token_layout(plan, GPT2, 96, "all").finishers() == (0, 1)


def test_segments_per_block_hold_until_the_next_are_announced() -> None:
    made = layout("prism:p=2,l=4/0/0/2/6" + "/0" * 7, VIT, 197)
    assert [len(made.segments(1, block)) for block in range(12)] == [4, 4, 4, 2] + [6] * 8
    assert [made.known_since(block) for block in range(6)] == [0, 0, 0, 3, 4, 4]
    assert [made.heard(0, block) for block in (0, 2, 3, 11)] == [4, 4, 2, 6]
    assert [bool(made.messages(block)) for block in range(12)] == [False] * 3 + [True] * 2 + [
        False
    ] * 7
    assert made.messages(3) == {(0, 1): 2, (1, 0): 2}
    same = layout("prism:p=2,l=4", VIT, 197)
    assert same.known_since(11) == 0
    assert same.messages(11) == {(1, 0): 4}  # equal segments: announced anew before every block


# batches


def test_shares_of_a_batch() -> None:
    split = Plan.parse("split:p=3")
    assert batch_shares(split, 8) == (3, 3, 2)
    assert batch_shares(split, 2) == (1, 1, 0)
    assert batch_shares(split, 1) == (1, 0, 0)
    assert batch_shares(Plan.parse("split:p=3,share=4/2/0"), 9) == (6, 3, 0)
    assert batch_shares(Plan.parse("split:p=2,share=9/1"), 2) == (2, 0)
    assert batch_shares(LOCAL, 8) == (8,)
    assert batch_shares(Plan.parse("prism:p=2,l=4,share=2/1"), 8) == (8,)  # shares of tokens


@pytest.mark.parametrize(
    ("text", "shape", "batch", "tokens", "boards", "says"),
    [
        ("local", VIT, 1, 198, 1, "198 tokens, but the model has positions for 197"),
        ("local", VIT, 0, 197, 1, "a batch of 0: allowed is 1 or more"),
        ("prism:p=3,l=2", VIT, 1, 197, 2, "3 ranks, but 2 board"),
        ("split:p=3", VIT, 1, 197, 2, "3 ranks, but 2 board"),
        ("prism:p=2,l=100", VIT, 1, 197, 2, "at most l=99"),
        ("prism:p=2,l=4" + "/100" * 11, VIT, 1, 197, 2, "100 segments for the 99 tokens"),
        ("prism:p=2,l=4/4", VIT, 1, 197, 2, "l has 2 numbers, the model 12 blocks; give one for"),
        ("prism:p=8,l=1", BERT, 1, 7, 8, "8 ranks cannot share 7 tokens"),
        ("voltage:p=8", BERT, 1, 7, 8, "8 ranks cannot share 7 tokens"),
        ("voltage:p=2,share=50/1", BERT, 1, 20, 2, "2 ranks cannot share 20 tokens"),
        ("prism:p=2,l=1,share=1/0", BERT, 1, 20, 2, "2 ranks cannot share 20 tokens"),
        ("astra:p=2,g=4", BERT, 1, 2, 2, "2 ranks cannot share 2 tokens"),
        ("split+prism:p=2,l=100", VIT, 3, 197, 2, "at most l=99"),
    ],
)
def test_what_does_not_fit_is_refused(
    text: str, shape: ModelShape, batch: int, tokens: int, boards: int, says: str
) -> None:
    with pytest.raises(PlanError, match=says):
        check_fits(Plan.parse(text), shape, batch, tokens, boards)


@pytest.mark.parametrize(
    ("text", "batch"),
    [("prism:p=2,l=99", 1), ("split:p=2", 1), ("split+prism:p=2,l=100", 4), ("local", 1)],
)
def test_what_fits_is_taken(text: str, batch: int) -> None:
    """Few samples may be split over many ranks; a hybrid without a rest exchanges nothing."""
    check_fits(Plan.parse(text), VIT, batch, 197, 2)


def test_one_segment_per_token_is_full_exchange() -> None:
    made = layout("prism:p=2,l=99", VIT, 197)
    assert (made.segments(0), made.segments(1)) == ((1,) * 99, (1,) * 98)
