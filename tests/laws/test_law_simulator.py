"""Law 15: P ranks compute what one process computes that was written from the formula.

Over loopback for whatever can be drawn; test_law_gloo.py has the same over real processes.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from drawn import (
    CLOSE,
    EXACT,
    SIZES,
    VISIBLE,
    LawNet,
    embeddings,
    few,
    kinds,
    masks,
    net,
    plan_of,
    shares,
    some,
    taps,
)
from formula import formula, lossless
from hypothesis import assume, given
from hypothesis import strategies as st
from nets import error, padding, rows
from simulator import Nearest, cast, int8, plain, simulate
from torch import Tensor

dtypes = st.sampled_from(["fp32", "fp16", "int8"])
sinks = st.fixed_dictionaries({"lead": st.integers(0, 1), "trail": st.integers(0, 1)})


def answer(one: LawNet, plan: str, x: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
    """The rows of real tokens, by the ranks and by the formula.  -> [.,D], [.,D]"""
    keep = real.bool()
    return rows(one, plan, x, real)[keep], formula(one, plan, x, real)[keep]


# the simulator against itself


@pytest.mark.parametrize("own", SIZES, ids=str)
@pytest.mark.parametrize("tap", ["after", "before"])
@few
@given(kind=kinds, data=st.data())
def test_law_15_the_simulator_with_one_token_a_segment_is_the_plain_net(
    own: tuple[int, ...], tap: str, kind: dict[str, bool], data: st.DataObject
) -> None:
    one, x = net(**kind), embeddings(37)
    real = data.draw(st.none() | masks(37), label="real")
    keep = torch.ones(2, 37).bool() if real is None else real.bool()
    expected = plain(one.blocks, x, causal=kind["causal"], real=real)[keep]
    options = {"causal": kind["causal"], "tap": tap, "real": real}
    single = simulate(one.blocks, x, [(1,) * n for n in own], **options)[keep]
    assert error(single, expected) < 1e-10
    # and with the first token on every rank, never announced
    parts = [(1,) * n for n in (own[0] - 1, *own[1:]) if n]
    assert error(simulate(one.blocks, x, parts, replicas=1, **options)[keep], expected) < 1e-10


# the ranks against the simulator


@some
@given(
    own=shares(),
    kind=kinds,
    sink=sinks,
    tap=taps,
    dtype=dtypes,
    data=st.data(),
)
def test_law_15_prism(
    own: tuple[int, ...],
    kind: dict[str, bool],
    sink: dict[str, int],
    tap: str,
    dtype: str,
    data: st.DataObject,
) -> None:
    """Any parts, segments per block with skipped exchanges, sinks, padding, wire, tap, pieces."""
    most = max(own)
    first = data.draw(st.integers(1, most), label="l")
    later = data.draw(st.lists(st.integers(0, most), min_size=3, max_size=3), label="later")
    every = data.draw(st.booleans(), label="one l for all blocks")
    segments = str(first) if every else "/".join(map(str, [first, *later]))
    real = data.draw(masks(sum(own)), label="real")
    pieces = data.draw(st.integers(1, 2), label="pieces")
    plan = plan_of("prism", own, l=segments, dtype=dtype, tap=tap, pieces=pieces)
    found, expected = answer(net(**kind, **sink), plan, embeddings(sum(own)), real)
    assert error(found, expected) < CLOSE[dtype]


@few
@given(own=shares(), kind=kinds, tap=taps, dtype=dtypes, data=st.data())
def test_law_15_voltage(
    own: tuple[int, ...], kind: dict[str, bool], tap: str, dtype: str, data: st.DataObject
) -> None:
    real = data.draw(masks(sum(own)), label="real")
    plan = plan_of("voltage", own, dtype=dtype, tap=tap, pieces=2)
    found, expected = answer(net(**kind), plan, embeddings(sum(own)), real)
    assert error(found, expected) < CLOSE[dtype]


@some
@given(
    own=shares(),
    kind=kinds,
    class_token=st.booleans(),
    tap=taps,
    codes=st.sampled_from([(1, 16), (4, 8), (8, 5)]),
    needs=st.sampled_from(["all", "first"]),
    data=st.data(),
)
def test_law_15_astra_with_codebooks_that_lose(
    own: tuple[int, ...],
    kind: dict[str, bool],
    class_token: bool,
    tap: str,
    codes: tuple[int, int],
    needs: Any,
    data: st.DataObject,
) -> None:
    """The class token is on every rank, and pooled."""
    tokens = sum(own) + class_token
    one = net(**kind, class_token=class_token, needs=needs, tap=tap)
    x, real = embeddings(tokens), data.draw(masks(tokens), label="real")
    real[:, 0] = 1
    plan = plan_of("astra", own, g=codes[0], k=codes[1], tap=tap)
    wire = Nearest(one.tables(*codes))
    expected = formula(one, plan, x, real, wire=wire)
    assume(wire.margin > 1e-4)
    keep = real.bool() if needs == "all" else real[:, :1].bool()
    expected = expected if needs == "all" else expected[:, :1]
    assert error(rows(one, plan, x, real)[keep], expected[keep]) < EXACT


@pytest.mark.parametrize("tap", ["after", "before"])
@few
@given(own=shares(tokens=18), pre_norm=st.booleans(), class_token=st.booleans())
def test_law_15_astra_with_codebooks_that_lose_nothing_is_full_attention(
    tap: str, own: tuple[int, ...], pre_norm: bool, class_token: bool
) -> None:
    """Then all replicas are the one class token."""
    options = {"pre_norm": pre_norm, "class_token": class_token}
    x = embeddings(sum(own) + class_token)
    tables = lossless(net(**options), x, 4, tap)
    one = LawNet(tables=tables, tap=tap, **options)
    plan = plan_of("astra", own, g=4, k=tables.shape[2], tap=tap)
    assert error(rows(one, plan, x), plain(one.blocks, x)) < EXACT


@few
@given(batch=st.integers(1, 5), kind=kinds, dtype=dtypes, p=st.integers(2, 4))
def test_law_15_split_and_hybrid(batch: int, kind: dict[str, bool], dtype: str, p: int) -> None:
    one, x = net(**kind, lead=1), embeddings(24, batch=batch)
    real = padding([24, 7, 24, 1, 13][:batch], 24)
    for plan in (f"split:p={p}", f"split+prism:p={p},l=3,dtype={dtype},tap=before"):
        found, expected = answer(one, plan, x, real)
        assert error(found, expected) < CLOSE[dtype]


# what would show

CONTROLS = [
    ("prism:p=2,l=3", {"own_means_visible": True}),
    ("prism:p=3,l=2", {"own_means_visible": True}),
    ("prism:p=2,l=3", {"drop_counts": True}),
    ("prism:p=2,l=3", {"average_padding": True}),
    ("prism:p=2,l=4/0/2/0", {"at": {}}),
    ("prism:p=2,l=4/2/2/4", {"at": {1: None}}),
    ("prism:p=2,l=3,tap=before", {"tap": "after"}),
    ("prism:p=2,l=3", {"tap": "before"}),
    ("voltage:p=2", {"own_means_visible": True}),
    ("astra:p=2,g=4,k=8", {"own_means_visible": True}),
    ("astra:p=2,g=4,k=8", {"wire": cast(torch.float64)}),
]


@pytest.mark.parametrize(("plan", "mistake"), CONTROLS, ids=str)
@pytest.mark.parametrize("causal", [False, True])
def test_law_15_control_a_mistake_shows(plan: str, mistake: dict[str, Any], causal: bool) -> None:
    one, x, real = net(causal=causal), embeddings(24, batch=3), padding([24, 11, 24], 24)
    real[2, [0, 3, 16, 20]] = 0
    books = one.tables(4, 8) if plan.startswith("astra") else None
    keep = real.bool()
    found = rows(one, plan, x, real)[keep]
    assert error(found, formula(one, plan, x, real, books)[keep]) < EXACT
    assert error(found, formula(one, plan, x, real, books, **mistake)[keep]) > VISIBLE


def test_law_15_control_a_class_token_on_one_rank_only() -> None:
    one, x = net(class_token=True), embeddings(25)
    books = one.tables(4, 8)
    found = rows(one, "astra:p=2,g=4,k=8", x)
    assert error(found, formula(one, "astra:p=2,g=4,k=8", x, None, books)) < EXACT
    alone = simulate(one.blocks, x, [(1,) * 13, (1,) * 12], wire=Nearest(books))
    assert error(found, alone) > VISIBLE


@pytest.mark.parametrize(("dtype", "wire"), [("fp16", cast(torch.float16)), ("int8", int8)])
@pytest.mark.parametrize("plan", ["prism:p=2,l=4", "voltage:p=3"])
@pytest.mark.parametrize("causal", [False, True])
def test_law_15_control_values_not_rounded(dtype: str, wire: Any, plan: str, causal: bool) -> None:
    one, x = net(causal=causal), embeddings(36)
    found = rows(one, f"{plan},dtype={dtype}", x)
    rounded = error(found, formula(one, plan, x, wire=wire))
    assert rounded < CLOSE[dtype]
    assert error(found, formula(one, plan, x)) > 5 * rounded


@pytest.mark.parametrize(("dtype", "close"), [(torch.float16, 2e-2), (torch.bfloat16, 1e-1)])
@pytest.mark.parametrize("causal", [False, True])
def test_law_15_in_half_precision(dtype: torch.dtype, close: float, causal: bool) -> None:
    """Two digits are left after four blocks, or nearly two; a mistake shows beyond."""
    one, x = net(causal=causal, dtype=dtype), embeddings(24)
    for plan in ("local", "prism:p=2,l=3,dtype=fp16", "voltage:p=3", "prism:p=3,l=2,dtype=int8"):
        found = rows(one, plan, x)
        assert error(found, formula(one, plan, x)) < close
        if plan.startswith("prism"):
            assert error(found, formula(one, plan, x, drop_counts=True)) > 3 * close
