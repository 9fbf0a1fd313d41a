"""Codes come out as they went in, in no more bytes than their bits need."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from prism_edge.exchange.bits import pack, packed_bytes, unpack


@given(bits=st.integers(1, 16), data=st.data())
def test_packing_loses_nothing(bits: int, data: st.DataObject) -> None:
    codes = torch.tensor(data.draw(st.lists(st.integers(0, (1 << bits) - 1), max_size=40)))
    packed = pack(codes.long(), bits)
    assert packed.dtype == torch.uint8
    assert packed.numel() == packed_bytes(len(codes), bits) == -(-len(codes) * bits // 8)
    assert unpack(packed, bits, len(codes)).tolist() == codes.tolist()
    if len(codes):
        packed[0] ^= 0x80
        assert unpack(packed, bits, len(codes)).tolist() != codes.tolist()


def test_the_highest_bit_comes_first() -> None:
    assert pack(torch.tensor([0b1010101010, 0b0000000001]), 10).tolist() == [
        0b10101010,
        0b10_000000,
        0b0001_0000,
    ]
    assert pack(torch.tensor([1, 2, 255]), 8).tolist() == [1, 2, 255]


def test_a_bit_too_few_loses_codes() -> None:
    codes = torch.tensor([3, 700, 1023])
    assert unpack(pack(codes, 10), 10, 3).tolist() == codes.tolist()
    assert unpack(pack(codes, 9), 9, 3).tolist() != codes.tolist()


@pytest.mark.parametrize(
    ("g", "one_way", "both_ways"), [(32, 3920, 7840), (16, 1960, 3920), (1, 123, 246)]
)
def test_98_tokens_of_vit_b16_travel_in_the_bytes_of_the_paper(
    g: int, one_way: int, both_ways: int
) -> None:
    codes = torch.randint(0, 1024, (98 * g,), generator=torch.Generator().manual_seed(g))
    packed = pack(codes, 10)
    assert packed.numel() == packed_bytes(98 * g, 10) == one_way
    assert 2 * packed.numel() == both_ways
    assert torch.equal(unpack(packed, 10, 98 * g), codes)
    assert pack(codes, 16).numel() > one_way * 1.59  # what 16-bit integers would cost


def test_a_payload_of_another_size_is_our_bug() -> None:
    with pytest.raises(AssertionError, match="4 bytes, 3 codes"):
        unpack(torch.zeros(5, dtype=torch.uint8)[:4].clone()[:4], 8, 3)
