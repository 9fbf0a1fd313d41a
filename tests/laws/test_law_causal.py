"""Laws 5 and 11: behind a causal mask nothing leaks back, so what was computed may be kept."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
import torch
from drawn import CLOSE, EXACT, VISIBLE, embeddings, few, masks, net, plan_of, shares, taps
from formula import announced, segments, wire_of
from hypothesis import given
from hypothesis import strategies as st
from nets import TIMEOUT_S, Net, error, noise, rows
from simulator import Segments, plain, simulate
from torch import Tensor

from prism_edge.layout import token_layout
from prism_edge.plan import Plan
from prism_edge.request import follow, lead_rows, local_rows
from prism_edge.spans import Recorder
from prism_edge.tensors.cache import Cache
from prism_edge.tensors.known import Known
from prism_edge.transport.loopback import loopback_group, run_ranks

PLANS = ["local", "voltage:p=3", "prism:p=3,l=2", "prism:p=2,l=4,tap=before", "split:p=2"]


@few
@given(
    own=shares(tokens=24),
    pre_norm=st.booleans(),
    tap=taps,
    dtype=st.sampled_from(["fp32", "fp16", "int8"]),
    data=st.data(),
)
def test_law_05_later_tokens_leave_earlier_rows_bit_for_bit(
    own: tuple[int, ...], pre_norm: bool, tap: str, dtype: str, data: st.DataObject
) -> None:
    tokens = sum(own)
    token = data.draw(st.integers(0, tokens - 1), label="token")
    segments = data.draw(st.integers(1, max(own)), label="l")
    one, x = net(causal=True, pre_norm=pre_norm), embeddings(tokens)
    real = data.draw(st.none() | masks(tokens), label="real")
    changed = x.clone()
    changed[:, token] = noise(2, 32, seed=token + 2)
    for plan in (
        plan_of("prism", own, l=segments, dtype=dtype, tap=tap),
        plan_of("voltage", own, dtype=dtype, tap=tap),
    ):
        before, after = rows(one, plan, x, real), rows(one, plan, changed, real)
        assert torch.equal(before[:, :token], after[:, :token])
        assert real is not None or not torch.equal(before[:, token], after[:, token])


@pytest.mark.parametrize("plan", PLANS)
def test_law_05_control_without_the_mask(plan: str) -> None:
    x = embeddings(24)
    for token in (23, 16, 9):
        changed = x.clone()
        changed[:, token] = noise(2, 32, seed=token)
        leaky = net(causal=False)
        before, after = rows(leaky, plan, x)[:, :token], rows(leaky, plan, changed)[:, :token]
        assert error(after, before) > VISIBLE


# law 11


def decoded(one: Net, plan: str, x: Tensor, prompt: int, *, counted: bool = True) -> Tensor:
    """The rows of the tokens after the prompt, by the leader alone, from its cache.

    [B,N,D] -> [B,N-prompt,D]
    """
    parsed = Plan.parse(plan)
    group = loopback_group(parsed.p, TIMEOUT_S)
    cache, known = Cache(room=x.shape[1] - prompt), {"x": x[:, :prompt]}

    def keep(k: Tensor, v: Tensor, columns: Known) -> None:
        if not counted:
            columns = replace(columns, count=columns.count.clamp(max=1))
        cache.keep(k, v, columns)

    def leader() -> None:
        recorder = Recorder()
        with torch.inference_mode():
            if parsed.p == 1:
                local_rows(one, known, recorder, "last", keep)
            else:
                lead_rows(one, "net", parsed, known, group[0], recorder, "last", keep)

    def worker(rank: int) -> None:
        follow({"net": one}, group[rank])

    run_ranks([leader, *(partial(worker, rank) for rank in range(1, parsed.p))])
    sent = sum(end.sent_bytes for end in group)
    with torch.inference_mode():
        found = [
            cache.decode(one.blocks, x[:, i : i + 1].to(one.blocks[0].out.weight))
            for i in range(prompt, x.shape[1])
        ]
    assert sum(end.sent_bytes for end in group) == sent  # decoding sends nothing
    return torch.cat(found, dim=1)


def longer(one: Net, plan: str, x: Tensor, prompt: int) -> Tensor:
    """The prefill of all tokens with the prompt's segments and a longer last part, simulated."""
    parsed = Plan.parse(plan)
    if parsed.p == 1:
        return plain(one.blocks, x, causal=True)[:, prompt:]
    layout = token_layout(parsed, one.shape, prompt)
    added = (1,) * (x.shape[1] - prompt)

    def extended(parts: Segments) -> Segments:
        return [*parts[:-1], (*parts[-1], *added)]

    at = {
        block: None if parts is None else extended(parts)
        for block, parts in announced(layout).items()
    }
    wire = wire_of(parsed, one.tables(4, 8) if parsed.g else None)
    tap = parsed.tap or "after"
    found = simulate(
        one.blocks, x, extended(segments(layout, 0)), causal=True, at=at, wire=wire, tap=tap
    )
    return found[:, prompt:]


@few
@given(
    own=shares(tokens=20),
    pre_norm=st.booleans(),
    tap=taps,
    dtype=st.sampled_from(["fp32", "fp16"]),
    more=st.integers(1, 6),
    data=st.data(),
)
def test_law_11_decoding_is_a_prefill_with_a_longer_last_part(
    own: tuple[int, ...],
    pre_norm: bool,
    tap: str,
    dtype: str,
    more: int,
    data: st.DataObject,
) -> None:
    one, prompt = net(causal=True, pre_norm=pre_norm, lead=1), sum(own)
    x = embeddings(prompt + more)
    segments = data.draw(st.integers(1, max(own)), label="l")
    plans = [
        plan_of("prism", own, l=segments, dtype=dtype, tap=tap),
        plan_of("voltage", own, dtype=dtype, tap=tap),
    ]
    for plan in plans:
        found = decoded(one, plan, x, prompt)
        assert error(found, longer(one, plan, x, prompt)) < CLOSE[dtype]


def test_law_11_over_skipped_exchanges_and_codes() -> None:
    one, x = net(causal=True, lead=1), embeddings(30)
    for plan in ("prism:p=3,l=4/0/2/0", "prism:p=2,l=1/3/0/5,tap=before", "astra:p=2,g=4,k=8"):
        assert error(decoded(one, plan, x, 24), longer(one, plan, x, 24)) < EXACT


@pytest.mark.parametrize("pre_norm", [False, True])
def test_law_11_control_counts_dropped_from_the_cache(pre_norm: bool) -> None:
    one, x = net(causal=True, pre_norm=pre_norm), embeddings(30)
    for plan in ("prism:p=2,l=2", "prism:p=3,l=3"):
        expected = longer(one, plan, x, 24)
        assert error(decoded(one, plan, x, 24), expected) < EXACT
        assert error(decoded(one, plan, x, 24, counted=False), expected) > VISIBLE
        assert error(plain(one.blocks, x, causal=True)[:, 24:], expected) > VISIBLE
