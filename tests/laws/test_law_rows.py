"""Laws 10 and 13: rows of the last block and samples of a batch are answered one by one."""

from __future__ import annotations

import pytest
import torch
from drawn import CLOSE, EXACT, VISIBLE, embeddings, few, kinds, net, plan_of, shares, taps
from hypothesis import given
from hypothesis import strategies as st
from nets import error, padding, rows

ROW = {"first": 0, "last": -1}


@few
@given(own=shares(tokens=20), kind=kinds, tap=taps, needs=st.sampled_from(["first", "last"]))
def test_law_10_one_row_of_the_last_block_is_that_row_of_all(
    own: tuple[int, ...], kind: dict[str, bool], tap: str, needs: str
) -> None:
    x = embeddings(sum(own), batch=3)
    real = padding([sum(own), 1 + sum(own) // 2, 1], sum(own))
    real = real if needs == "first" else real.flip(1)
    for plan in (plan_of("prism", own, l=1, tap=tap), plan_of("voltage", own, dtype="fp16")):
        for mask in (None, real):
            one = rows(net(needs=needs, **kind), plan, x, mask)
            everything = rows(net(**kind), plan, x, mask)
            assert one.shape == (3, 1, 32)
            assert error(one[:, 0], everything[:, ROW[needs]]) < EXACT


@pytest.mark.parametrize("plan", ["local", "split:p=2", "voltage:p=3", "prism:p=2,l=4"])
@pytest.mark.parametrize("needs", ["first", "last"])
@pytest.mark.parametrize("causal", [False, True])
def test_law_10_control_another_row(plan: str, needs: str, causal: bool) -> None:
    x = embeddings(24)
    one = rows(net(causal=causal, needs=needs), plan, x)
    everything = rows(net(causal=causal), plan, x)
    assert error(one[:, 0], everything[:, ROW[needs]]) < EXACT
    assert error(one[:, 0], everything[:, 1]) > VISIBLE


# law 13

PLANS = [
    ("local", "fp32"),
    ("split:p=2", "fp32"),
    ("split:p=3,share=3/2/1", "fp32"),
    ("voltage:p=2,dtype=fp16,pieces=3", "fp16"),
    ("prism:p=2,l=3,pieces=2", "fp32"),
    ("prism:p=3,l=3,dtype=int8,tap=before", "int8"),
    ("split+prism:p=2,l=3", "fp32"),
]


@pytest.mark.parametrize(("plan", "dtype"), PLANS)
@few
@given(kind=kinds, batch=st.integers(1, 5), data=st.data())
def test_law_13_a_sample_of_a_batch_is_its_own_answer(
    plan: str, dtype: str, kind: dict[str, bool], batch: int, data: st.DataObject
) -> None:
    lengths = data.draw(st.lists(st.integers(1, 24), min_size=batch, max_size=batch))
    one, x, real = net(lead=1, **kind), embeddings(24, batch=batch), padding(lengths, 24)
    together = rows(one, plan, x, real)
    alike = batch // 2 * 2 if plan.startswith("split+") else 0  # a hybrid answers these locally
    for i in range(batch):
        own = slice(i, i + 1)
        keep = real[own].bool()
        alone = rows(one, "local" if i < alike else plan, x[own], real[own])
        assert error(together[own][keep], alone[keep]) < CLOSE[dtype]


@pytest.mark.parametrize(("plan", "dtype"), PLANS)
@pytest.mark.parametrize("causal", [False, True])
def test_law_13_control_samples_mixed(plan: str, dtype: str, causal: bool) -> None:
    """The mean over the batch, and the samples in another order."""
    one, x, real = net(lead=1, causal=causal), embeddings(24, batch=4), padding([24, 11, 3, 24], 24)
    together = rows(one, plan, x, real)
    mixed = x.mean(dim=0, keepdim=True).expand_as(x).contiguous()
    assert error(rows(one, plan, mixed, real), together) > VISIBLE > CLOSE["fp32"]
    assert error(rows(one, plan, x.flip(0), real.flip(0)), together) > 5 * CLOSE[dtype]


@few
@given(
    kind=kinds,
    batch=st.integers(1, 7),
    share=st.lists(st.integers(0, 9), min_size=1, max_size=3),
    needs=st.sampled_from(["all", "first", "last"]),
    data=st.data(),
)
def test_law_13_split_equals_local(
    kind: dict[str, bool], batch: int, share: list[int], needs: str, data: st.DataObject
) -> None:
    """Whatever the shares: workers without a sample, a leader whose share is none."""
    lengths = data.draw(st.lists(st.integers(1, 24), min_size=batch, max_size=batch))
    one, x = net(needs=needs, **kind), embeddings(24, batch=batch)
    real = padding(lengths, 24) if needs == "first" else padding(lengths, 24).flip(1)
    keep = real.bool() if needs == "all" else torch.ones(batch, 1).bool()
    expected = rows(one, "local", x, real)[keep]
    plans = [f"split:p={1 + len(share)}", f"split:p={1 + len(share)},share=" + slashed([1, *share])]
    if batch % 2 == 0:  # nothing is left over for the exchange
        plans.append("split+prism:p=2,l=1")
    for plan in plans:
        assert error(rows(one, plan, x, real)[keep], expected) < EXACT


def slashed(share: list[int]) -> str:
    return "/".join(map(str, share))


@pytest.mark.parametrize("batch", [3, 5])
def test_law_13_control_a_hybrid_is_not_exact_where_it_exchanges(batch: int) -> None:
    one, x = net(), embeddings(24, batch=batch)
    found, expected = rows(one, "split+prism:p=2,l=3", x), rows(one, "local", x)
    assert error(found[:-1], expected[:-1]) < EXACT
    assert error(found[-1:], expected[-1:]) > VISIBLE
    assert error(rows(one, "split+prism:p=2,l=12", x), expected) < EXACT
