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
    check_fits,
    even,
    input_bytes,
    output_bytes,
    segment_sizes,
    token_layout,
    wire_bytes,
)
from prism_edge.plan import LOCAL, Plan


def layout(text: str, shape: ModelShape, tokens: int) -> Layout:
    return token_layout(Plan.parse(text), shape, tokens)


@pytest.mark.parametrize(
    ("shape", "text", "tokens", "rank", "macs"),
    [
        (BERT, "local", 256, 0, 1_912_602_624),
        (BERT, "voltage:p=2", 256, 0, 1_107_296_256),
        (BERT, "prism:p=2,l=1", 256, 0, 932_511_744),
        (VIT, "local", 197, 0, 1_453_954_560),
        (VIT, "voltage:p=2", 197, 0, 846_273_024),
        (VIT, "prism:p=2,l=1", 197, 0, 717_096_960),
        (VIT, "prism:p=2,l=10", 197, 0, 729_082_368),
        (VIT, "prism:p=3,l=10", 197, 0, 499_451_904),
        (VIT, "prism:p=4,l=10", 197, 0, 395_427_840),
        (GPT2, "local", 1024, 0, 8_858_370_048),
        (GPT2, "prism:p=2,l=128", 1024, 1, 4_278_190_080),
        (GPT2, "prism:p=4,l=64", 1024, 3, 2_214_592_512),
    ],
)
def test_golden_operations(shape: ModelShape, text: str, tokens: int, rank: int, macs: int) -> None:
    assert layout(text, shape, tokens).macs(rank) == macs


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


def two_way(shape: ModelShape) -> ModelShape:
    """The same model without last-block pruning: every rank computes every block."""
    return dataclasses.replace(shape, needs="all")


@pytest.mark.parametrize(
    ("shape", "text", "tokens", "one", "all_two_way", "last_one_way"),
    [
        (VIT, "voltage:p=2", 197, 605_184, 6_657_024, 6_352_896),
        (VIT, "prism:p=2,l=10", 197, 61_440, 675_840, 645_120),
        (VIT, "prism:p=2,l=10,dtype=fp16", 197, 30_720, 337_920, 322_560),
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
    assert sum(plain.messages(1).values()) * plain.row_bytes == one
    assert plain.exchange_bytes(1) == all_two_way
    assert pruned.exchange_bytes(1) == last_one_way
    assert pruned.exchange_bytes(3) == 3 * last_one_way


def test_prism_saves_99_2_percent_of_an_exchange() -> None:
    means, full = layout("prism:p=2,l=1", BERT, 256), layout("voltage:p=2", BERT, 256)
    assert 1 - means.exchange_bytes(1) / full.exchange_bytes(1) == pytest.approx(0.992, abs=5e-4)


def test_golden_inputs() -> None:
    vit = layout("prism:p=2,l=10,dtype=fp16", VIT, 197)
    assert input_bytes(vit, 1, 1) == 75_264 + 15_360
    assert input_bytes(layout("prism:p=2,l=10", VIT, 197), 1, 1) == 75_264 + 30_720
    assert input_bytes(layout("voltage:p=2", VIT, 197), 1, 1) == 150_528
    assert input_bytes(layout("prism:p=2,l=1", BERT, 256), 1, 1) == 512
    assert input_bytes(vit, 0, 1) == input_bytes(layout("local", VIT, 197), 0, 1) == 0


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("prism:p=2,l=10", 781_824),
        ("prism:p=2,l=10,dtype=fp16", 428_544),
        ("prism:p=2,l=1,dtype=fp16", 110_592),
        ("voltage:p=2", 6_807_552),
    ],
)
def test_golden_requests_with_eleven_two_way_exchanges(text: str, whole: int) -> None:
    """Whole requests: raw input, first means, exchanges; rank 0 owns the class token."""
    plain = layout(text, two_way(VIT), 197)
    assert input_bytes(plain, 1, 1) + plain.exchange_bytes(1) == whole


def test_split_moves_whole_images_out_and_outputs_back() -> None:
    split = Plan.parse("split:p=2")
    whole = token_layout(split, VIT, 197)
    assert input_bytes(whole, 1, 5) == 2 * 150_528
    assert output_bytes(whole, 1, 5) == 2 * 4_000
    assert wire_bytes(whole, 2) / 2 == 77_264  # the average per image
    assert wire_bytes(token_layout(LOCAL, VIT, 197), 4) == 0


def test_outputs_come_from_whom_the_head_needs() -> None:
    assert output_bytes(layout("prism:p=2,l=10", VIT, 197), 1, 1) == 0
    assert output_bytes(layout("prism:p=2,l=4", GPT2, 64), 1, 2) == 2 * 768 * 4
    assert output_bytes(layout("prism:p=2,l=4", two_way(BERT), 64), 1, 1) == 32 * 768 * 4


def test_segments_of_the_published_setting() -> None:
    vit = layout("prism:p=2,l=10", VIT, 197)
    assert vit.own == (99, 98)
    assert vit.segments[0] == (1, 11, 11, 11, 11, 11, 11, 11, 11, 10)
    assert sorted(vit.segments[1]) == [9, 9] + [10] * 8
    assert vit.offsets == (0, 99)


def test_a_single_segment_keeps_no_room_for_the_class_token() -> None:
    assert segment_sizes(99, 1, lead=1) == (99,)
    assert segment_sizes(99, 2, lead=1) == (1, 98)


@given(st.integers(1, 2000), st.integers(1, 64))
def test_even_pieces_add_up_and_differ_by_at_most_one(total: int, parts: int) -> None:
    pieces = even(total, parts)
    assert sum(pieces) == total
    assert max(pieces) - min(pieces) <= 1
    assert list(pieces) == sorted(pieces, reverse=True)


@given(
    st.sampled_from([VIT, BERT, GPT2]),
    st.integers(2, 8),
    st.integers(1, 40),
    st.integers(16, 1024),
    st.booleans(),
)
def test_every_token_is_owned_once_and_announced_once(
    shape: ModelShape, p: int, segments: int, tokens: int, full: bool
) -> None:
    tokens = min(tokens, shape.tokens)
    plan = Plan(method="prism", p=p, l=min(segments, even(tokens, p)[0]), dtype="fp16")
    if full:
        plan = Plan(method="voltage", p=p, dtype="fp32")
    made = token_layout(plan, shape, tokens)
    assert sum(made.own) == tokens == made.tokens
    assert [sum(sizes) for sizes in made.segments] == list(made.own)
    assert all(size > 0 for sizes in made.segments for size in sizes)
    for rank in range(p):
        assert rank not in made.hears(rank)
        assert made.known(rank) <= tokens
        if full and not shape.causal:
            assert made.known(rank) == tokens
        if shape.causal:
            assert all(other < rank for other in made.hears(rank))


def test_causal_messages_go_forward_only() -> None:
    made = layout("prism:p=3,l=4", GPT2, 96)
    assert set(made.messages(1)) == {(0, 1), (0, 2), (1, 2)}
    assert set(made.messages(11)) == {(0, 2), (1, 2)}
    assert made.messages(0) == {}
    mutual = layout("prism:p=3,l=4", BERT, 96)
    assert len(mutual.messages(1)) == 6
    assert set(mutual.messages(11)) == {(1, 0), (2, 0)}


def test_finishers() -> None:
    assert layout("prism:p=3,l=4", BERT, 96).finishers() == (0,)
    assert layout("prism:p=3,l=4", GPT2, 96).finishers() == (2,)
    assert layout("prism:p=3,l=4", two_way(BERT), 96).finishers() == (0, 1, 2)


def test_shares_of_a_batch() -> None:
    split = Plan.parse("split:p=3")
    assert batch_shares(split, 8) == (3, 3, 2)
    assert batch_shares(LOCAL, 8) == (8,)
    with pytest.raises(PlanError, match="a batch of 2 cannot be split over 3 boards"):
        batch_shares(split, 2)


@pytest.mark.parametrize(
    ("text", "shape", "batch", "tokens", "boards", "says"),
    [
        ("local", VIT, 1, 198, 1, "positions for 197"),
        ("prism:p=3,l=2", VIT, 1, 197, 2, "3 ranks, but 2 board"),
        ("prism:p=2,l=100", VIT, 1, 197, 2, "at most l=99"),
        ("prism:p=8,l=1", BERT, 1, 7, 8, "8 ranks cannot share 7 tokens"),
        ("voltage:p=8", BERT, 1, 7, 8, "8 ranks cannot share 7 tokens"),
        ("split:p=2", VIT, 1, 197, 2, "cannot be split"),
    ],
)
def test_what_does_not_fit_is_refused(
    text: str, shape: ModelShape, batch: int, tokens: int, boards: int, says: str
) -> None:
    with pytest.raises(PlanError, match=says):
        check_fits(Plan.parse(text), shape, batch, tokens, boards)


def test_what_fits_is_laid_out() -> None:
    made = check_fits(Plan.parse("prism:p=2,l=99"), VIT, 1, 197, 2)
    assert made.segments == ((1,) * 99, (1,) * 98)
