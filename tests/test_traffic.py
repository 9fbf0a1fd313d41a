"""Bytes of a whole request, against golden numbers; what transports count is in test_law_costs."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st
from measured import BERT, GPT2, VIT

from prism_edge.layout import Layout, ModelShape, token_layout
from prism_edge.plan import LOCAL, Plan
from prism_edge.traffic import input_bytes, output_bytes, wire_bytes


def layout(text: str, shape: ModelShape, tokens: int) -> Layout:
    return token_layout(Plan.parse(text), shape, tokens)


def two_way(shape: ModelShape) -> ModelShape:
    return dataclasses.replace(shape, needs="all")


def test_golden_inputs() -> None:
    """Of an image its own patches and the first rows; of a text all ids."""
    vit = layout("prism:p=2,l=10,dtype=fp16", VIT, 197)
    assert input_bytes(vit, 1, 1) == 75_264 + 15_360
    assert input_bytes(layout("prism:p=2,l=10", VIT, 197), 1, 1) == 75_264 + 30_720
    assert input_bytes(layout("prism:p=2,l=10,dtype=int8", VIT, 197), 1, 1) == 75_264 + 7_680 + 40
    assert input_bytes(layout("astra:p=2,g=32", VIT, 197), 1, 1) == 75_264 + 3_920
    assert input_bytes(layout("voltage:p=2", VIT, 197), 1, 1) == 150_528
    assert input_bytes(layout("prism:p=2,l=1", BERT, 256), 1, 1) == 512
    assert input_bytes(layout("astra:p=2,g=32", BERT, 256), 1, 3) == 3 * 512
    assert input_bytes(vit, 0, 1) == input_bytes(layout("local", VIT, 197), 0, 1) == 0


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("prism:p=2,l=10", 781_824),
        ("prism:p=2,l=10,dtype=fp16", 428_544),
        ("prism:p=2,l=10,dtype=int8", 252_824),
        ("prism:p=2,l=1,dtype=fp16", 110_592),
        ("voltage:p=2", 6_807_552),
    ],
)
def test_golden_requests_with_eleven_two_way_exchanges(text: str, whole: int) -> None:
    """Whole requests: raw input, first means, exchanges; rank 0 owns the class token."""
    plain = layout(text, two_way(VIT), 197)
    assert input_bytes(plain, 1, 1) + plain.exchange_bytes(1) == whole


def test_split_moves_whole_images_out_and_outputs_back() -> None:
    plan = Plan.parse("split:p=2")
    split = token_layout(plan, VIT, 197)
    assert input_bytes(split, 1, 5) == 2 * 150_528
    assert output_bytes(split, 1, 5) == 2 * 4_000
    assert wire_bytes(plan, VIT, 2, 197) / 2 == 77_264  # the average per image
    assert wire_bytes(LOCAL, VIT, 4, 197) == 0
    assert wire_bytes(plan, VIT, 1, 197) == 0  # the other rank is not asked


def test_outputs_come_from_whom_the_head_needs() -> None:
    assert output_bytes(layout("prism:p=2,l=10", VIT, 197), 1, 1) == 0
    assert output_bytes(layout("prism:p=2,l=4", GPT2, 64), 1, 2) == 0  # the leader owns the last
    assert output_bytes(layout("prism:p=2,l=4", two_way(BERT), 64), 1, 1) == 32 * 768 * 4
    assert output_bytes(layout("astra:p=2,g=16", VIT, 197), 1, 2) == 2 * 768 * 4  # its replica
    first = dataclasses.replace(GPT2, needs="first")
    assert output_bytes(layout("prism:p=2,l=4", first, 64), 1, 2) == 2 * 768 * 4


def test_other_rows_than_the_heads_cost_their_own_bytes() -> None:
    plan = Plan.parse("prism:p=2,l=4")
    pruned, whole = (wire_bytes(plan, two_way(GPT2), 1, 64, needs) for needs in ("last", "all"))
    assert pruned == wire_bytes(plan, GPT2, 1, 64)
    assert whole - pruned == 32 * 768 * 4


@given(
    st.sampled_from([(VIT, 197), (BERT, 64), (GPT2, 64)]),
    st.integers(2, 5),
    st.integers(1, 20),
    st.sampled_from(["fp32", "fp16", "int8"]),
)
def test_a_hybrid_moves_what_its_parts_move(
    sized: tuple[ModelShape, int], p: int, batch: int, dtype: str
) -> None:
    shape, tokens = sized
    found = wire_bytes(Plan.parse(f"split+prism:p={p},l=3,dtype={dtype}"), shape, batch, tokens)
    rest = batch % p
    expected = wire_bytes(Plan.parse(f"split:p={p}"), shape, batch - rest, tokens)
    if rest:
        prism = Plan.parse(f"prism:p={p},l=3,dtype={dtype}")
        expected += wire_bytes(prism, shape, rest, tokens)
    assert found == expected


def test_codes_in_pieces_fill_up_a_byte_of_each_piece() -> None:
    """98 codes of 10 bits, 3 samples: 368 bytes at once, 245 + 123 in two pieces."""
    whole, cut = (layout(f"astra:p=2,g=1{more}", VIT, 197) for more in ("", ",pieces=2"))
    patches = 3 * 98 * 768
    assert input_bytes(whole, 1, 3) == patches + 368
    assert input_bytes(cut, 1, 3) == patches + 245 + 123
    assert (whole.exchange_bytes(3), cut.exchange_bytes(3)) == (22 * 368, 22 * (245 + 123))
    odd = [layout(f"astra:p=2,g=1{more}", VIT, 196) for more in ("", ",pieces=2")]
    assert [input_bytes(made, 1, 2) - 2 * 97 * 768 for made in odd] == [245, 2 * 123]


def test_a_class_token_is_no_input() -> None:
    """An image's is made by the model; a text's is an id like the others."""
    split = Plan.parse("split:p=2")
    assert input_bytes(token_layout(split, VIT, 197), 1, 2) == 196 * VIT.token_bytes
    assert input_bytes(token_layout(split, BERT, 197), 1, 2) == 197 * BERT.token_bytes
