"""A request between ranks survives the wire; anything else is refused by name."""

from __future__ import annotations

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nets import noise
from torch import Tensor

from prism_edge.errors import OutOfStepError, PrismError
from prism_edge.layout import Needs
from prism_edge.plan import LOCAL, Plan
from prism_edge.transport.loopback import loopback_group
from prism_edge.wire import (
    DTYPES,
    HEADER_BYTES,
    Header,
    pack_body,
    receive_header,
    send_header,
    unpack_body,
)

PLANS = [
    "local",
    "split:p=3,share=3/2/0",
    "prism:p=2,l=10/0/4,dtype=int8,tap=before,share=2/1,pieces=2",
    "voltage:p=8,dtype=fp32",
    "astra:p=4,g=32,k=256",
]

headers = st.builds(
    Header,
    model=st.text(max_size=40),
    plan=st.sampled_from(PLANS).map(Plan.parse),
    batch=st.integers(1, 64),
    tokens=st.integers(1, 4096),
    needs=st.sampled_from([None, "first", "last", "all"]),
    tensors=st.lists(
        st.tuples(
            st.text(max_size=12),
            st.sampled_from(sorted(DTYPES)),
            st.lists(st.integers(1, 4096), max_size=4).map(tuple),
        ),
        max_size=3,
    ).map(tuple),
)


def text(data: Tensor) -> bytes:
    return data.numpy().tobytes()


def padded(content: object) -> Tensor:
    """A header with any content, as it would arrive."""
    encoded = content if isinstance(content, bytes) else json.dumps(content).encode()
    return torch.frombuffer(bytearray(encoded.ljust(HEADER_BYTES)), dtype=torch.uint8)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(headers)
def test_a_header_survives_the_wire(header: Header) -> None:
    encoded = header.encode()
    assert encoded.shape == (HEADER_BYTES,)
    assert encoded.dtype == torch.uint8
    assert Header.decode(encoded) == header


def test_a_header_says_how_long_its_body_is() -> None:
    listed = (("a", "i16", (2, 3)), ("b", "f32", (5,)), ("c", "u8", ()))
    header = Header("m", LOCAL, 2, 3, "last", listed)
    assert header.body_bytes == 2 * 3 * 2 + 5 * 4 + 1
    like = Header.of("m", LOCAL, 2, 3, {"logits": torch.Size([2, 7])})
    assert like.tensors == (("logits", "f32", (2, 7)),)
    assert like.needs is None
    assert like.body_bytes == 56


def test_a_name_that_does_not_fit_is_refused_before_anything_is_sent() -> None:
    group = loopback_group(2)
    with pytest.raises(PrismError, match="choose a shorter model name"):
        send_header(group[0], 1, "m" * HEADER_BYTES, LOCAL, 1, {"a": noise(1)})
    assert group[0].sent_bytes == 0


GOOD = ["m", "local", 1, 2, None, [["a", "f32", [2]]]]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe not text",
        b"GET / HTTP/1.1",
        {"model": "m"},
        GOOD[:5],
        [*GOOD, 5],
        [*GOOD[:4], *GOOD[5:]],
        [*GOOD[:4], "second", *GOOD[5:]],
        [*GOOD[:4], 1, *GOOD[5:]],
        ["m", "telepathy:p=2", *GOOD[2:]],
        ["m", 7, *GOOD[2:]],
        [*GOOD[:5], [["a", "f64", [2]]]],
        [*GOOD[:5], [["a", "f32", ["two"]]]],
        [*GOOD[:5], [["a", "f32"]]],
        [*GOOD[:5], [["a", "f32", [-2]]]],
        [*GOOD[:5], [["a", "f32", [1.5]]]],
        ["m", "local", "one", 2, None, []],
    ],
    ids=lambda content: str(content)[:40],
)
def test_what_is_no_header_is_refused(content: object) -> None:
    assert Header.decode(padded(GOOD)).body_bytes == 8
    with pytest.raises(OutOfStepError, match="rank 0 sent a header that does not parse"):
        Header.decode(padded(content))


@pytest.mark.parametrize("dtypes", [["u8", "f32", "i16"], ["i16", "u8", "f16", "i32", "f32"]])
def test_bodies_hold_any_mix_of_dtypes(dtypes: list[str]) -> None:
    """Sizes are odd, so that no tensor starts where its dtype would like it to."""
    tensors = {
        f"t{i}": (noise(3, 2 * i + 1, seed=i) * 100).to(DTYPES[code])
        for i, code in enumerate(dtypes)
    }
    listed = tuple(
        (name, code, tuple(tensor.shape))
        for (name, tensor), code in zip(tensors.items(), dtypes, strict=True)
    )
    header = Header("m", LOCAL, 1, 1, None, listed)
    body = pack_body(tensors)
    assert body.numel() == header.body_bytes
    found = unpack_body(header, body)
    assert list(found) == list(tensors)
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)
    body.zero_()  # the transport reuses its buffers: what was unpacked must not change
    assert torch.equal(found["t0"], tensors["t0"])
    flipped = pack_body(tensors)
    flipped[-1] ^= 1
    assert not torch.equal(unpack_body(header, flipped)[list(tensors)[-1]], tensor)


def test_a_request_is_a_header_and_one_body() -> None:
    group = loopback_group(2, timeout_s=20.0)
    part = {"input_ids": torch.arange(6, dtype=torch.int16).view(2, 3), "mask": torch.ones(2, 3)}
    plan = Plan.parse("prism:p=2,l=1")
    pending = send_header(group[0], 1, "bert", plan, 3, part)
    group[0].begin({1: pack_body(part)}, {}).wait()
    header = receive_header(group[1])
    body = group[1].begin({}, {0: header.body_bytes}).wait()[0]
    assert pending.wait() == {}
    assert (header.model, header.plan, header.batch, header.tokens) == ("bert", plan, 2, 3)
    found = unpack_body(header, body)
    assert found.keys() == part.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in part.items())
    assert group[0].sent_bytes == HEADER_BYTES + 12 + 24


@pytest.mark.parametrize("needs", [None, "last", "all"])
def test_a_request_says_which_rows_it_is_after(needs: Needs | None) -> None:
    group = loopback_group(2, timeout_s=20.0)
    plan = Plan.parse("prism:p=2,l=1")
    send_header(group[0], 1, "gpt2", plan, 3, {"a": noise(1)}, needs)
    assert receive_header(group[1]).needs == needs


def test_a_strided_tensor_is_packed_in_order() -> None:
    x = noise(4, 6)
    assert text(pack_body({"x": x.t()})) == text(pack_body({"x": x.t().contiguous()}))
    assert text(pack_body({"x": x.t()})) != text(pack_body({"x": x}))
