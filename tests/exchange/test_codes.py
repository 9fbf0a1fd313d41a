"""ASTRA's exchange: what arrives is the nearest vector of every group of every token."""

from __future__ import annotations

import pytest
import torch
from nets import noise, padding
from torch.utils.flop_counter import FlopCounterMode

from prism_edge.errors import OutOfStepError
from prism_edge.exchange.bits import packed_bytes, unpack
from prism_edge.exchange.codes import Codes
from prism_edge.tensors.codebook import Codebooks

ONES = (1,) * 7


def codes_of(g: int = 4, k: int = 12, width: int = 16) -> Codes:
    return Codes(Codebooks(tables=noise(3, g, k, width // g)))


def test_what_arrives_is_the_nearest_vector() -> None:
    exchange, h = codes_of(), noise(2, 7, 16, seed=4)
    books = exchange.codebooks
    payload = exchange.encode(h, ONES, None, 2)
    assert payload.dtype == torch.uint8
    assert payload.shape == (packed_bytes(2 * 7 * 4, 4),) == (28,)
    found = exchange.decode(payload, 7, 2, h)
    assert torch.equal(found, books.reconstruct(2, books.quantise(2, h)))
    assert found.shape == h.shape
    assert not torch.equal(exchange.decode(payload, 7, 1, h), found)  # another block's tables
    payload[5] ^= 1
    assert not torch.equal(exchange.decode(payload, 7, 2, h), found)


def test_rows_that_are_codes_arrive_exactly() -> None:
    exchange = codes_of()
    held = exchange.codebooks.to(torch.float64)
    h = held.reconstruct(1, torch.randint(0, 12, (2, 7, 4)))
    exact = Codes(held)
    assert torch.equal(exact.decode(exact.encode(h, ONES, None, 1), 7, 1, h), h)
    off = h + 1e-3
    assert not torch.equal(exact.decode(exact.encode(off, ONES, None, 1), 7, 1, off), off)


def test_what_padding_holds_changes_nothing() -> None:
    exchange, h, real = codes_of(), noise(2, 7, 16), padding([7, 4], 7)
    other = h.clone()
    other[1, 4:] = float("nan")
    sent, again = (exchange.encode(x, ONES, real, 0) for x in (h, other))
    assert torch.equal(sent, again)
    assert unpack(sent, 4, 56).view(2, 7, 4)[1, 4:].eq(0).all()
    assert torch.isfinite(exchange.decode(sent, 7, 0, h)).all()
    other[1, 3] += 1.0  # a real token
    assert not torch.equal(exchange.encode(other, ONES, real, 0), sent)


def test_a_receiver_may_own_another_number_of_tokens() -> None:
    exchange, h = codes_of(), noise(2, 7, 16)
    payload = exchange.encode(h, ONES, None, 0)
    assert exchange.decode(payload, 7, 0, noise(2, 3, 16)).shape == (2, 7, 16)
    assert exchange.decode(payload, 7, 0, noise(2, 3, 16).half()).dtype == torch.float16


def test_a_batch_is_its_samples() -> None:
    exchange, h = codes_of(), noise(2, 7, 16)
    both = exchange.decode(exchange.encode(h, ONES, None, 0), 7, 0, h)
    for row in range(2):
        one = h[row : row + 1]
        assert torch.equal(
            exchange.decode(exchange.encode(one, ONES, None, 0), 7, 0, one), both[row : row + 1]
        )
    assert not torch.equal(both[0], both[1])


def test_a_payload_that_is_none_is_told_from_one() -> None:
    exchange, h = codes_of(), noise(2, 7, 16)
    payload = exchange.encode(h, ONES, None, 0)
    with pytest.raises(OutOfStepError, match="27 bytes of codes, expected are 28 for 7 tokens"):
        exchange.decode(payload[:-1], 7, 0, h)
    with pytest.raises(OutOfStepError, match="a code of 12 or more"):  # 4 bits tell 16 apart
        exchange.decode(torch.full_like(payload, 255), 7, 0, h)
    full = codes_of(k=16)  # here every pattern is a code
    assert full.decode(torch.full_like(payload, 255), 7, 0, h).shape == h.shape


def test_finding_codes_costs_a_product_with_every_code() -> None:
    exchange, h = codes_of(g=4, k=12, width=16), noise(2, 7, 16)
    with FlopCounterMode(display=False) as counter:
        exchange.encode(h, ONES, None, 0)
    assert counter.get_total_flops() == 2 * 2 * 7 * 12 * 16


def test_segments_of_several_tokens_are_our_bug() -> None:
    with pytest.raises(AssertionError):
        codes_of().encode(noise(1, 7, 16), (3, 4), None, 0)
