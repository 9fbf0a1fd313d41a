"""What ranks tell each other: rows that travel, and what arrives is what was meant."""

from __future__ import annotations

import pytest
import torch
from nets import noise, padding

from prism_edge.exchange import ANNOUNCE, decode, encode, wire_dtype
from prism_edge.exchange.full import announce_tokens
from prism_edge.exchange.means import announce_means
from prism_edge.plan import OPTIONS, Plan
from prism_edge.tensors.segments import segment_means

PRISM, VOLTAGE = Plan.parse("prism:p=2,l=3"), Plan.parse("voltage:p=2")
HALF = Plan.parse("prism:p=2,l=3,dtype=fp16")


def test_every_plan_that_exchanges_has_its_file() -> None:
    methods = {method for method, options in OPTIONS.items() if "dtype" in options}
    assert set(ANNOUNCE) == methods == {"prism", "voltage"}


def test_full_exchange_announces_the_tokens_padding_included() -> None:
    h = noise(2, 5, 4)
    assert announce_tokens(h, (1,) * 5, padding([5, 2], 5)) is h
    assert torch.equal(encode(VOLTAGE, h, (1,) * 5, None), h)
    with pytest.raises(AssertionError):
        announce_tokens(h, (2, 3), None)


def test_prism_announces_means_of_what_is_real() -> None:
    h, real = noise(2, 7, 4), padding([7, 4], 7)
    found = announce_means(h, (1, 3, 3), real)
    assert torch.equal(found, segment_means(h, (1, 3, 3), real))
    assert torch.equal(encode(PRISM, h, (1, 3, 3), real), found)
    assert torch.allclose(found[0, 1], h[0, 1:4].mean(dim=0))
    assert torch.equal(found[1, 2], torch.zeros(4))
    assert not torch.allclose(found, announce_means(h, (1, 3, 3), None), atol=1e-2)


@pytest.mark.parametrize("plan", [PRISM, HALF, VOLTAGE, Plan.parse("voltage:p=2,dtype=fp16")])
def test_what_arrives_is_what_was_sent_as_it_travels(plan: Plan) -> None:
    h = noise(2, 7, 4)
    sizes = (1,) * 7 if plan.method == "voltage" else (1, 3, 3)
    sent = encode(plan, h, sizes, None)
    assert sent.dtype == wire_dtype(plan) == (torch.float16 if "16" in str(plan) else torch.float32)
    payload = sent.contiguous().view(-1).view(torch.uint8)
    found = decode(plan, payload, len(sizes), h)
    assert found.dtype == h.dtype
    assert torch.equal(found, sent.float())
    payload = payload.clone()
    payload[-1] ^= 1
    assert not torch.equal(decode(plan, payload, len(sizes), h), sent.float())


def test_half_precision_is_off_by_at_most_half_a_step() -> None:
    h = noise(8, 40, 32)
    exact = segment_means(h, (1, 20, 19), None)
    found = encode(HALF, h, (1, 20, 19), None).float()
    assert float(((found - exact).abs() / exact.abs().clamp(min=2**-14)).max()) <= 2**-11
    assert not torch.equal(found, exact)


def test_models_in_half_precision_hear_in_half_precision() -> None:
    h = noise(1, 6, 4).half()
    sent = encode(PRISM, h, (2, 2, 2), None)
    assert sent.dtype == torch.float32
    assert decode(PRISM, sent.view(-1).view(torch.uint8), 3, h).dtype == torch.float16
