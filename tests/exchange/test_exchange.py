"""Every plan that exchanges has an exchange, and codebooks are asked for only where needed."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from nets import noise

from prism_edge.errors import PlanError
from prism_edge.exchange import exchange_of
from prism_edge.exchange.codes import Codes
from prism_edge.exchange.rows import Rows
from prism_edge.layout import ModelShape, token_layout
from prism_edge.plan import Plan
from prism_edge.tensors.codebook import Codebooks

BLOCKS, WIDTH = 3, 12


def books(g: int, k: int) -> Codebooks:
    return Codebooks(tables=noise(BLOCKS, g, k, WIDTH // g), tap="after")


def none(g: int, k: int) -> Codebooks:
    raise AssertionError("this plan needs no codebooks")


def test_codebooks_are_asked_for_by_their_size() -> None:
    asked: list[tuple[int, int]] = []

    def find(g: int, k: int) -> Codebooks:
        asked.append((g, k))
        return books(g, k)

    assert isinstance(exchange_of(Plan.parse("astra:p=2,g=4,k=8"), find), Codes)
    assert asked == [(4, 8)]
    for text in ("prism:p=2,l=3", "voltage:p=2,dtype=int8"):
        assert isinstance(exchange_of(Plan.parse(text), none), Rows)


def test_codebooks_of_the_other_tap_are_refused() -> None:
    with pytest.raises(PlanError, match="made for rows after the norm; ask for tap=after"):
        exchange_of(Plan.parse("astra:p=2,g=4,k=8,tap=before"), books)


SHAPE = ModelShape(
    family="net",
    tokens=64,
    fixed_tokens=False,
    width=WIDTH,
    heads=2,
    blocks=BLOCKS,
    ffn=8,
    causal=False,
    lead=1,
    trail=0,
    class_token=True,
    needs="all",
    token_bytes=2,
    output_fixed=0,
    output_per_token=1,
)
PLANS = ["astra:p=2,g=4,k=8", "astra:p=2,g=3,k=5", "voltage:p=2", "voltage:p=2,dtype=fp16"]
PLANS += [f"prism:p=2,l=3/0/5,dtype={dtype}" for dtype in ("fp32", "fp16", "int8")]


@given(st.sampled_from(PLANS), st.integers(12, 40), st.integers(1, 3))
def test_messages_have_the_bytes_that_both_ends_compute(text: str, tokens: int, batch: int) -> None:
    """The receiver knows sizes from the layout only; what arrives has a row for every segment."""
    plan = Plan.parse(text)
    layout, exchange = token_layout(plan, SHAPE, tokens), exchange_of(plan, books)
    h = noise(batch, tokens, WIDTH)
    for block in range(1, BLOCKS):
        for (source, _), rows in layout.messages(block).items():
            sizes = layout.segments(source, block)
            payload = exchange.encode(h[:, layout.part(source)], sizes, None, block)
            assert payload.dtype == torch.uint8
            assert payload.shape == (layout.payload_bytes(rows, batch),)
            assert exchange.decode(payload, rows, block, h).shape == (batch, rows, WIDTH)
