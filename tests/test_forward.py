"""The laws of the loop: what a request must equal, whatever the plan. METHODS: exactness laws.

Every law has a control, a small mistake that must break the same assertion. Errors are relative to
the spread of the outputs; fp32 nets of four blocks are right to 1e-5.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nets import Net, error, noise, over_loopback, padding, rows, run_layout
from simulator import cast, plain, simulate
from torch import Tensor
from torch.nn.functional import layer_norm, linear, scaled_dot_product_attention

from prism_edge.errors import PeerLostError, PlanError
from prism_edge.request import follow, lead
from prism_edge.layout import Layout, segment_sizes
from prism_edge.plan import LOCAL, Plan
from prism_edge.spans import Recorder
from prism_edge.transport.loopback import loopback_group, run_ranks

EXACT = 1e-5
VISIBLE = 1e-2  # a control is a mistake of at least this size
SIZES = ([37], [19, 18], [5, 20, 12], [1, 36])
KINDS = [(causal, pre_norm) for causal in (False, True) for pre_norm in (False, True)]

kinds = pytest.mark.parametrize(("causal", "pre_norm"), KINDS)
sizes = pytest.mark.parametrize("own", SIZES, ids=str)


def layout_of(net: Net, own: Sequence[int], segments: Sequence[int] | None, dtype="fp32") -> Layout:
    """A layout with any sizes; ``segments`` None: one token per segment."""
    per_rank = list(own) if segments is None else segments
    return Layout(
        plan=Plan(method="prism", p=max(2, len(own)), l=max(per_rank), dtype=dtype),
        shape=net.shape,
        own=tuple(own),
        segments=tuple(segment_sizes(n, k) for n, k in zip(own, per_rank, strict=True)),
    )


# law 1: one token per segment is full attention


@sizes
@kinds
def test_one_token_per_segment_is_full_attention(
    own: list[int], causal: bool, pre_norm: bool
) -> None:
    net, x = Net(causal=causal, pre_norm=pre_norm), noise(2, 37, 32)
    expected = plain(net.blocks, x, causal=causal)
    assert error(run_layout(net, layout_of(net, own, None), x), expected) < EXACT


@pytest.mark.parametrize(
    ("own", "segments", "causal"),
    [
        ([19, 18], [18, 18], True),
        ([19, 18], [19, 17], False),
        ([5, 20, 12], [5, 19, 12], True),
        ([5, 20, 12], [4, 20, 12], False),
        ([1, 36], [1, 35], False),
    ],
)
def test_one_segment_less_is_not(own: list[int], segments: list[int], causal: bool) -> None:
    for pre_norm in (True, False):
        net, x = Net(causal=causal, pre_norm=pre_norm), noise(2, 37, 32)
        expected = plain(net.blocks, x, causal=causal)
        assert error(run_layout(net, layout_of(net, own, segments), x), expected) > VISIBLE


@pytest.mark.parametrize("plan", ["voltage:p=2", "voltage:p=3", "prism:p=2,l=19", "prism:p=3,l=13"])
@kinds
def test_exact_plans_equal_one_device(plan: str, causal: bool, pre_norm: bool) -> None:
    net, x = Net(causal=causal, pre_norm=pre_norm), noise(2, 37, 32)
    assert error(rows(net, plan, x), plain(net.blocks, x, causal=causal)) < EXACT
    assert error(rows(net, "prism:p=2,l=5", x), plain(net.blocks, x, causal=causal)) > VISIBLE


# law 2: one rank is the plain model, bit for bit


def same_kernels(net: Net, x: Tensor) -> Tensor:
    """The net as a plain loop over PyTorch's own functions."""
    for block in net.blocks:
        norm1, norm2 = block.norm1, block.norm2
        h = layer_norm(x, (32,), norm1.weight, norm1.bias, norm1.eps) if block.pre_norm else x
        q, k, v = linear(h, block.qkv.weight, block.qkv.bias).chunk(3, dim=-1)
        q, k, v = (part.view(*part.shape[:2], 4, 8).transpose(1, 2) for part in (q, k, v))
        out = scaled_dot_product_attention(q, k, v, is_causal=net.shape.causal)
        x = x + linear(out.transpose(1, 2).flatten(2), block.out.weight, block.out.bias)
        if not block.pre_norm:
            x = layer_norm(x, (32,), norm1.weight, norm1.bias, norm1.eps)
        inner = layer_norm(x, (32,), norm2.weight, norm2.bias, norm2.eps) if block.pre_norm else x
        inner = linear(inner, block.up.weight, block.up.bias)
        x = x + linear(torch.nn.functional.gelu(inner), block.down.weight, block.down.bias)
        if not block.pre_norm:
            x = layer_norm(x, (32,), norm2.weight, norm2.bias, norm2.eps)
    return x


@kinds
def test_local_is_the_plain_model_bit_for_bit(causal: bool, pre_norm: bool) -> None:
    net, x = Net(causal=causal, pre_norm=pre_norm), noise(3, 21, 32)
    expected = same_kernels(net, x)
    assert torch.equal(rows(net, "local", x), expected)
    assert not torch.equal(rows(net, "prism:p=2,l=1", x), expected)


# law 4: what is the same within a segment loses nothing by its mean


def piecewise_constant(own: Sequence[int], segments: Sequence[int]) -> Tensor:
    """Embeddings that are equal inside each segment.  -> [2,N,32]"""
    runs = [size for n, k in zip(own, segments, strict=True) for size in segment_sizes(n, k)]
    return noise(2, len(runs), 32).repeat_interleave(torch.tensor(runs), dim=1)


@pytest.mark.parametrize("pre_norm", [True, False])
@pytest.mark.parametrize(("causal", "blocks"), [(False, 4), (True, 1)])
def test_constant_segments_are_exact_at_any_rate(pre_norm: bool, causal: bool, blocks: int) -> None:
    net = Net(causal=causal, pre_norm=pre_norm, blocks=blocks)
    own, segments = [5, 20, 12], [2, 3, 1]
    x, layout = piecewise_constant(own, segments), layout_of(net, own, segments)
    assert error(run_layout(net, layout, x), plain(net.blocks, x, causal=causal)) < EXACT
    x[:, 7] += noise(2, 32, seed=2)
    assert error(run_layout(net, layout, x), plain(net.blocks, x, causal=causal)) > VISIBLE


# law 5: nothing leaks from later tokens


@pytest.mark.parametrize("plan", ["local", "voltage:p=3", "prism:p=3,l=2", "prism:p=2,l=4"])
def test_later_tokens_leave_earlier_rows_as_they_are(plan: str) -> None:
    x = noise(2, 24, 32)
    for token in (23, 16, 9):
        changed = x.clone()
        changed[:, token] = noise(2, 32, seed=token)
        net, leaky = Net(causal=True), Net(causal=False)
        assert torch.equal(rows(net, plan, x)[:, :token], rows(net, plan, changed)[:, :token])
        assert not torch.equal(rows(net, plan, x), rows(net, plan, changed))
        before, after = rows(leaky, plan, x)[:, :token], rows(leaky, plan, changed)[:, :token]
        assert error(after, before) > VISIBLE


# law 8: padding is as if it were not there


def holes() -> Tensor:
    """A mask with padding at both ends of partitions of 12 tokens.  -> uint8 [1,24]"""
    real = torch.ones(1, 24, dtype=torch.uint8)
    real[:, [0, 1, 10, 11, 12, 21, 22, 23]] = 0
    return real


@kinds
def test_padded_equals_trimmed(causal: bool, pre_norm: bool) -> None:
    net, real = Net(causal=causal, pre_norm=pre_norm), holes()
    x = noise(1, 24, 32)
    x[real == 0] = 1e3  # must not matter
    keep = real[0].bool()
    padded = Layout(
        plan=Plan(method="prism", p=2, l=3, dtype="fp32"),
        shape=net.shape,
        own=(12, 12),
        segments=((4, 4, 4), (3, 6, 3)),
    )
    trimmed = Layout(plan=padded.plan, shape=net.shape, own=(8, 8), segments=((2, 4, 2), (2, 6)))
    expected = run_layout(net, trimmed, x[:, keep])
    assert error(run_layout(net, padded, x, real)[:, keep], expected) < EXACT
    assert error(run_layout(net, padded, x)[:, keep], expected) > VISIBLE


@pytest.mark.parametrize("plan", ["local", "voltage:p=2", "prism:p=2,l=3", "prism:p=3,l=2"])
@kinds
def test_partitions_of_padding_only_give_no_nan(plan: str, causal: bool, pre_norm: bool) -> None:
    net, x = Net(causal=causal, pre_norm=pre_norm), noise(4, 24, 32)
    real = padding([24, 7, 1, 0], 24)
    real[1] = real[1].flip(0)  # left padding: the first partition is padding only
    assert torch.isfinite(rows(net, plan, x, real)).all()


@kinds
def test_padding_may_hold_anything_finite(causal: bool, pre_norm: bool) -> None:
    net, x, real = Net(causal=causal, pre_norm=pre_norm), noise(1, 24, 32), holes()
    other = torch.where(real.bool()[..., None], x, torch.full_like(x, 50.0))
    for plan in ("local", "voltage:p=2", "prism:p=2,l=3"):
        before, after = rows(net, plan, x, real), rows(net, plan, other, real)
        assert torch.equal(before[real.bool()], after[real.bool()])
        assert not torch.equal(rows(net, plan, x), rows(net, plan, other))


# law 10: a head that needs one row gets the row it would have got


@pytest.mark.parametrize("plan", ["local", "split:p=2", "voltage:p=3", "prism:p=2,l=4"])
@pytest.mark.parametrize(("needs", "row"), [("first", 0), ("last", -1)])
@kinds
def test_one_row_of_the_last_block_is_that_row_of_all(
    plan: str, needs: str, row: int, causal: bool, pre_norm: bool
) -> None:
    x = noise(2, 24, 32)
    one = rows(Net(causal=causal, pre_norm=pre_norm, needs=needs), plan, x)
    everything = rows(Net(causal=causal, pre_norm=pre_norm), plan, x)
    assert error(one[:, 0], everything[:, row]) < EXACT
    assert error(one[:, 0], everything[:, 1]) > VISIBLE


@pytest.mark.parametrize("needs", ["first", "last"])
def test_one_row_of_a_padded_batch(needs: str) -> None:
    x, real = noise(3, 24, 32), padding([24, 13, 1], 24)
    real = real if needs == "first" else real.flip(1)
    for causal in (False, True):
        everything = rows(Net(causal=causal), "prism:p=2,l=4", x, real)
        one = rows(Net(causal=causal, needs=needs), "prism:p=2,l=4", x, real)
        assert error(one[:, 0], everything[:, 0 if needs == "first" else -1]) < EXACT


# law 13: samples of a batch know nothing of each other


@pytest.mark.parametrize("plan", ["local", "voltage:p=2", "prism:p=2,l=3", "prism:p=3,l=3"])
def test_a_row_of_a_batch_is_its_own_answer(plan: str) -> None:
    net, x, real = Net(lead=1), noise(3, 24, 32), padding([24, 11, 3], 24)
    together = rows(net, plan, x, real)
    for sample in range(3):
        alone = rows(net, plan, x[sample : sample + 1], real[sample : sample + 1])
        assert error(together[sample : sample + 1], alone) < EXACT
    mixed = rows(net, plan, x.mean(dim=0, keepdim=True).expand_as(x).contiguous(), real)
    assert error(mixed, together) > VISIBLE


@pytest.mark.parametrize(("plan", "batch"), [("split:p=2", 2), ("split:p=2", 5), ("split:p=3", 5)])
def test_split_equals_local(plan: str, batch: int) -> None:
    x, real = noise(batch, 24, 32), padding([24, 11, 3, 24, 1][:batch], 24)
    for net in (Net(), Net(needs="first"), Net(causal=True)):
        assert error(rows(net, plan, x, real), rows(net, "local", x, real)) < EXACT
    swapped = rows(Net(), plan, x.flip(0), real)
    assert error(swapped, rows(Net(), "local", x, real)) > VISIBLE


# law 15: one process that computes all ranks from the formula


CASES = [
    ([19, 18], [3, 5]),
    ([5, 20, 12], [2, 5, 4]),
    ([2, 35], [1, 6]),
    ([10, 9, 9, 9], [1, 2, 3, 9]),
]
MISTAKES = ("own_means_visible", "drop_counts", "average_padding")


@pytest.mark.parametrize(("own", "segments"), CASES, ids=str)
@kinds
def test_ranks_compute_what_the_formula_says(
    own: list[int], segments: list[int], causal: bool, pre_norm: bool
) -> None:
    net, x = Net(causal=causal, pre_norm=pre_norm), noise(3, 37, 32)
    real = padding([37, 20, 37], 37)
    real[2, [0, 3, 17, 30]] = 0
    layout = layout_of(net, own, segments)
    found = run_layout(net, layout, x, real)[real.bool()]

    def formula(**mistake: bool) -> Tensor:
        options = {"causal": causal, "real": real, **mistake}
        return simulate(net.blocks, x, layout.segments, **options)[real.bool()]

    assert error(found, formula()) < EXACT
    for mistake in MISTAKES:
        assert error(found, formula(**{mistake: True})) > VISIBLE, mistake


@pytest.mark.parametrize("causal", [False, True])
def test_values_travel_rounded_to_fp16(causal: bool) -> None:
    net, x = Net(causal=causal), noise(2, 37, 32)
    layout = layout_of(net, [19, 18], [4, 4], dtype="fp16")
    found = run_layout(net, layout, x)
    options = {"causal": causal}
    rounded = simulate(net.blocks, x, layout.segments, wire=cast(torch.float16), **options)
    unrounded = simulate(net.blocks, x, layout.segments, **options)
    assert error(found, rounded) < 2e-2
    assert error(found, unrounded) > 3 * error(found, rounded)
    assert error(found, simulate(net.blocks, x, layout.segments, drop_counts=True)) > 10 * 2e-2


@settings(max_examples=25, deadline=None, derandomize=True)
@given(data=st.data())
def test_any_plan_is_what_the_formula_says(data: st.DataObject) -> None:
    tokens = data.draw(st.integers(2, 26), label="tokens")
    ranks = data.draw(st.integers(2, min(4, tokens)), label="ranks")
    most = -(-tokens // ranks)
    segments = data.draw(st.integers(1, most), label="segments")
    causal = data.draw(st.booleans(), label="causal")
    lead_tokens = data.draw(st.integers(0, 1), label="lead")
    lengths = data.draw(st.lists(st.integers(0, tokens), min_size=2, max_size=2), label="lengths")
    net = Net(causal=causal, lead=lead_tokens, blocks=2, width=16, heads=2)
    x, real = noise(2, tokens, 16), padding(lengths, tokens)
    own = [tokens // ranks + (rank < tokens % ranks) for rank in range(ranks)]
    sizes = [
        segment_sizes(n, min(segments, n), lead=lead_tokens if rank == 0 else 0)
        for rank, n in enumerate(own)
    ]
    expected = simulate(net.blocks, x, sizes, causal=causal, real=real)[real.bool()]
    found = rows(net, f"prism:p={ranks},l={segments}", x, real)[real.bool()]
    if found.numel():
        assert float((found - expected).abs().max()) < 1e-4


# what else the loop promises


def test_a_class_token_travels_exactly() -> None:
    """Peers see the leading token as it is, so one token set apart is one segment more."""
    x = noise(2, 24, 32)
    segments = [segment_sizes(12, 3, lead=1), segment_sizes(12, 3)]
    assert segments == [(1, 6, 5), (4, 4, 4)]
    found = rows(Net(lead=1), "prism:p=2,l=3", x)
    assert error(found, simulate(Net().blocks, x, segments)) < EXACT
    assert error(found, rows(Net(lead=0), "prism:p=2,l=3", x)) > VISIBLE


def test_spans_say_what_was_moved_and_waited_for() -> None:
    net, x, recorder = Net(), noise(2, 24, 32), Recorder()
    group, plan = loopback_group(2, 20.0), Plan.parse("prism:p=2,l=3,dtype=fp16")
    run_ranks(
        [
            lambda: lead(net, "net", plan, {"x": x}, group[0], recorder),
            lambda: follow({"net": net}, group[1]),
        ]
    )
    names = [span.name for span in recorder.spans]
    assert names.count("exchange") == names.count("wait") == 3  # four blocks, the first one free
    assert recorder.total_bytes("exchange") == 3 * 2 * 3 * 32 * 2  # three rows of fp16, twice
    assert {"scatter", "gather", "head"} <= set(names)
    waits = [span for span in recorder.spans if span.name == "wait"]
    exchanges = [span for span in recorder.spans if span.name == "exchange"]
    for wait, exchange in zip(waits, exchanges, strict=True):
        assert exchange.start_s <= wait.start_s <= wait.stop_s == exchange.stop_s


def test_local_needs_nobody() -> None:
    recorder = Recorder()
    found = lead(Net(), "net", LOCAL, {"x": noise(1, 9, 32)}, None, recorder)
    assert found["rows"].shape == (1, 9, 32)
    assert [span.name for span in recorder.spans] == ["compute"]


@pytest.mark.parametrize(
    ("plan", "batch", "reason"),
    [
        ("prism:p=3,l=2", 2, "3 ranks, but 2 board"),
        ("prism:p=2,l=13", 2, "at most l=12"),
        ("split:p=2", 1, "batch of 1"),
    ],
)
def test_a_plan_that_does_not_fit_sends_nothing(plan: str, batch: int, reason: str) -> None:
    group = loopback_group(2)
    inputs = {"x": noise(batch, 24, 32)}
    with pytest.raises(PlanError, match=reason):
        lead(Net(), "net", Plan.parse(plan), inputs, group[0], Recorder())
    assert group[0].sent_bytes == 0


@pytest.mark.parametrize("plan", ["split:p=2", "voltage:p=2", "prism:p=2,l=3"])
def test_a_lost_rank_leaves_the_request_answerable(plan: str) -> None:
    net, inputs, group = Net(), {"x": noise(2, 24, 32)}, loopback_group(2)
    before = inputs["x"].clone()
    group[1].close()
    with pytest.raises(PeerLostError, match="rank 1 has left"):
        lead(net, "net", Plan.parse(plan), inputs, group[0], Recorder())
    assert torch.equal(inputs["x"], before)
    assert error(rows(net, "local", inputs["x"]), plain(net.blocks, before)) < EXACT


def test_a_worker_serves_request_after_request() -> None:
    net, group = Net(), loopback_group(2, 20.0)
    plans = ["prism:p=2,l=3", "split:p=2", "voltage:p=2", "prism:p=2,l=3,dtype=fp16"]
    x = noise(2, 24, 32)
    answers, served = run_ranks(
        [
            lambda: [
                lead(net, "net", Plan.parse(plan), {"x": x}, group[0], Recorder())["rows"]
                for plan in plans
            ],
            lambda: [str(follow({"net": net}, group[1]).plan) for _ in plans],
        ]
    )
    assert served == [str(Plan.parse(plan)) for plan in plans]
    for plan, answer in zip(plans, answers, strict=True):
        assert torch.equal(answer, over_loopback(net, plan, {"x": x})[0]["rows"])
