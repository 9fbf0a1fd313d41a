"""Law 12: bytes and operations counted are those of the published formulas, written out here.

A message carries L rows of a rank's means, all its n tokens, or n times G codes; what is known
before block 0 needs none, and only ranks that compute the last block hear before it. The golden
numbers of published models are in test_forward_costs.py. Letters: B batch, n own tokens, M known
columns, D width, K codes of a group, G groups.
"""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from drawn import embeddings, few, kinds, net, plan_of, shares, some, taps
from hypothesis import given
from hypothesis import strategies as st
from nets import Net, over_loopback
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from prism_edge.forward import run_blocks, whole
from prism_edge.layout import token_layout
from prism_edge.plan import Plan
from prism_edge.spans import Recorder
from prism_edge.transport.staging import HOST, Staging
from prism_edge.wire import HEADER_BYTES

ROW_BYTES = {"fp32": lambda d: 4 * d, "fp16": lambda d: 2 * d, "int8": lambda d: d + 4}


def exchanged(
    own: tuple[int, ...],
    message_bytes: list[list[int]],
    *,
    causal: bool,
    needs: str,
) -> int:
    """All directed messages of one request. ``message_bytes``: per exchanged block, per rank."""
    ranks = range(len(own))
    place = [*ranks[1:], 0] if causal else list(ranks)  # by position: causal leaders own the end
    last_row = {"first": place[0], "last": place[-1]}.get(needs)
    total = 0
    for index, sizes in enumerate(message_bytes):
        final = index == len(message_bytes) - 1
        for receiver in ranks:
            if final and last_row is not None and receiver != last_row:
                continue
            for sender in ranks:
                earlier = place.index(sender) < place.index(receiver)
                if sender != receiver and (earlier or not causal):
                    total += sizes[sender]
    return total


def counted(one: Net, plan: str, batch: int, tokens: int) -> int:
    """Bytes the transports counted in the exchanges of one request: headers, the embeddings that
    the leader sends and the rows that come back are taken off."""
    x = embeddings(tokens, batch=batch)
    _, group = over_loopback(one, plan, {"x": x})
    layout = token_layout(Plan.parse(plan), one.shape, tokens)
    workers = range(1, len(group))
    around = sum(HEADER_BYTES + 4 * x.numel() for _ in workers)
    around += sum(4 * batch * layout.rows(rank) * 32 for rank in workers)
    return sum(end.sent_bytes for end in group) - around


cases = st.fixed_dictionaries(
    {
        "own": shares(tokens=20).filter(lambda own: len(own) > 1),
        "kind": kinds,
        "needs": st.sampled_from(["all", "first", "last"]),
        "batch": st.integers(1, 3),
    }
)


@some
@given(case=cases, dtype=st.sampled_from(list(ROW_BYTES)), tap=taps, data=st.data())
def test_law_12_bytes_of_means(
    case: dict[str, Any], dtype: str, tap: str, data: st.DataObject
) -> None:
    """B * L * bytes of a row, for every exchange that takes place."""
    own, batch = case["own"], case["batch"]
    first = data.draw(st.integers(1, max(own)), label="l")
    later = data.draw(st.lists(st.integers(0, max(own)), min_size=3, max_size=3), label="later")
    row = ROW_BYTES[dtype](32)
    sizes = [[batch * min(count, n) * row for n in own] for count in later]
    one = net(needs=case["needs"], **case["kind"])
    plan = plan_of("prism", own, l="/".join(map(str, [first, *later])), dtype=dtype, tap=tap)
    options = {"causal": case["kind"]["causal"], "needs": case["needs"]}
    found = counted(one, plan, batch, sum(own))
    assert found == exchanged(own, sizes, **options)


@few
@given(
    case=cases,
    dtype=st.sampled_from(list(ROW_BYTES)),
    codes=st.sampled_from([(1, 16), (8, 5)]),
    pieces=st.integers(1, 3),
)
def test_law_12_bytes_of_tokens_and_of_codes(
    case: dict[str, Any], dtype: str, codes: tuple[int, int], pieces: int
) -> None:
    """B * n * bytes of a row, and ceil(b * n * G * log2 K / 8) for every piece of the batch, for
    all blocks but the first."""
    own, batch = case["own"], case["batch"]
    one = net(needs=case["needs"], **case["kind"])
    options = {"causal": case["kind"]["causal"], "needs": case["needs"]}
    row = ROW_BYTES[dtype](32)
    full = exchanged(own, [[batch * n * row for n in own]] * 3, **options)
    assert counted(one, plan_of("voltage", own, dtype=dtype), batch, sum(own)) == full
    g, k = codes
    bits = g * math.ceil(math.log2(k))
    count = min(pieces, batch)
    samples = [batch // count + (i < batch % count) for i in range(count)]
    sizes = [sum(math.ceil(b * n * bits / 8) for b in samples) for n in own]
    plan = plan_of("astra", own, g=g, k=k, pieces=pieces)
    assert counted(one, plan, batch, sum(own)) == exchanged(own, [sizes] * 3, **options)


@pytest.mark.parametrize("causal", [False, True])
def test_law_12_control_one_exchange_more_and_the_formula_of_full_exchange(causal: bool) -> None:
    one, own = net(causal=causal), (12, 12)
    found = counted(one, "prism:p=2,l=3,dtype=fp16", 2, 24)
    means = [[2 * 3 * 64] * 2]
    assert found == exchanged(own, means * 3, causal=causal, needs="all")
    assert found != exchanged(own, means * 4, causal=causal, needs="all")
    assert found != exchanged(own, [[2 * 12 * 64] * 2] * 3, causal=causal, needs="all")
    assert found != exchanged(own, means * 3, causal=not causal, needs="all")


# operations: multiply-accumulates of Q, O and the feed-forward on n rows, of K and V on M, scores
# and weighted values on n x M


class Zeros:
    """Ranks that send zeros: a rank computes the same amount whatever it hears."""

    sent_bytes = 0
    staging: Staging = HOST

    def __init__(self, rank: int, size: int) -> None:
        self.rank, self.size = rank, size

    def begin(self, sends: Any, receives: Any) -> Zeros:
        pending = Zeros(self.rank, self.size)
        pending.payloads = {q: torch.zeros(n, dtype=torch.uint8) for q, n in receives.items()}
        return pending

    def wait(self, timeout_s: float | None = None) -> Any:
        return self.payloads

    def abort(self) -> None: ...

    def close(self) -> None: ...


@torch.inference_mode()
def operations(one: Net, plan: str, tokens: int, rank: int) -> int:
    """What PyTorch counts while one rank runs its blocks."""
    layout = token_layout(Plan.parse(plan), one.shape, tokens)
    x = torch.zeros(1, layout.own[rank], 32)
    heard = torch.zeros(1, layout.heard(rank), 32) if layout.heard(rank) else None
    counter = FlopCounterMode(display=False)
    # the counter knows matrix products, not this machine's fused attention
    with sdpa_kernel(SDPBackend.MATH), counter:
        run_blocks(one, layout, rank, whole(x, heard), Zeros(rank, layout.ranks), Recorder())
    return counter.get_total_flops()


def block_macs(n: int, m: int, *, ffn: int, d: int = 32) -> int:
    return 2 * n * d * d + 2 * m * d * d + 2 * n * m * d + 2 * n * d * ffn


@few
@given(own=shares(tokens=40), kind=kinds, data=st.data())
def test_law_12_operations(
    own: tuple[int, ...], kind: dict[str, bool], data: st.DataObject
) -> None:
    one, ranks = net(blocks=2, **kind), range(len(own))
    place = [*ranks[1:], 0] if kind["causal"] else list(ranks)
    segments = data.draw(st.integers(1, max(own)), label="l")
    for plan, rows in (
        (plan_of("prism", own, l=segments), [min(segments, n) for n in own]),
        (plan_of("voltage", own), list(own)),
    ):
        for rank in ranks:
            heard = place[: place.index(rank)] if kind["causal"] else place
            m = own[rank] + sum(rows[q] for q in heard if q != rank)
            found = operations(one, plan, sum(own), rank)
            expected = 2 * 2 * block_macs(own[rank], m, ffn=one.shape.ffn)
            assert found == pytest.approx(expected, rel=0.01)


def test_law_12_control_operations_of_full_exchange() -> None:
    """BERT-base's ratio: with means 51.24 % less than one device, with all tokens 42.11 %."""
    one = net(blocks=2)
    alone = operations(one, "local", 64, 0)
    means, full = operations(one, "prism:p=2,l=1", 64, 0), operations(one, "voltage:p=2", 64, 0)
    assert means == 2 * 2 * block_macs(32, 33, ffn=one.shape.ffn)
    assert means != pytest.approx(2 * 2 * block_macs(32, 64, ffn=one.shape.ffn), rel=0.01)
    assert means < full < alone
