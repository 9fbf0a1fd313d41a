"""Codes follow their rows by the formula; dead ones come back; noise is like what codes miss."""

from __future__ import annotations

import math

import pytest
import torch
from nets import noise
from torch import Tensor

from prism_edge.tensors.codebook import Codebooks
from prism_edge.tensors.ema_codes import (
    DEAD,
    DECAY,
    Chosen,
    EmaCodes,
    commitment,
    follow,
    missed,
    noise_like,
    started,
)


def books(tables: Tensor) -> Codebooks:
    return Codebooks(tables=tables)


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def chosen(held: Codebooks, block: int, rows: Tensor) -> Chosen:
    return Chosen(rows, held.quantise(block, rows))


def test_at_the_start_the_means_are_those_of_the_rows() -> None:
    held, rows = books(noise(2, 3, 5, 4)), [noise(40, 12, seed=seed) for seed in (1, 2)]
    found = started(held, rows)
    assert torch.equal(found.tables, held.tables)
    assert found.share.sum(dim=-1) == pytest.approx(torch.ones(2, 3))
    for block in range(2):
        codes = held.quantise(block, rows[block])
        off = rows[block] - held.reconstruct(block, codes)
        assert torch.allclose(found.spread[block], off.square().mean(dim=0))
        for group in range(3):
            counts = [int((codes[:, group] == code).sum()) / 40 for code in range(5)]
            assert found.share[block, group].tolist() == pytest.approx(counts)


def test_every_code_is_the_running_mean_of_its_rows() -> None:
    held = books(noise(2, 3, 5, 4))
    found = started(held, [noise(40, 12, seed=seed) for seed in (1, 2)])
    share = found.share.double().clone()
    sums = found.sums.double().clone()
    spread = found.spread.double().clone()
    for step in range(3):
        rows = noise(10 + step, 12, seed=10 + step)
        now = books(found.tables.clone())
        codes = now.quantise(1, rows)
        follow(found, 1, Chosen(rows, codes), source())
        counts, totals = torch.zeros(3, 5).double(), torch.zeros(3, 5, 4).double()
        for row, its in zip(rows, codes, strict=True):
            for group, code in enumerate(its.tolist()):
                counts[group, code] += 1
                totals[group, code] += row[4 * group : 4 * group + 4]
        share[1] = DECAY * share[1] + (1 - DECAY) * counts / len(rows)
        sums[1] = DECAY * sums[1] + (1 - DECAY) * totals / len(rows)
        off = (rows - now.reconstruct(1, codes)).double()
        spread[1] = DECAY * spread[1] + (1 - DECAY) * off.square().mean(dim=0)
    used = share[1] > 0
    assert torch.allclose(found.tables[1].double()[used], (sums[1] / share[1][..., None])[used])
    assert torch.allclose(found.spread.double(), spread)
    assert torch.equal(found.tables[0], held.tables[0])  # another block's stay
    assert not torch.equal(found.tables[1], held.tables[1])


def alone(share: list[float]) -> EmaCodes:
    """One block, one group, three codes of width two at 0, 10 and 100."""
    tables = torch.tensor([0.0, 10.0, 100.0])[:, None].expand(3, 2).clone()[None, None]
    shares = torch.tensor(share)[None, None]
    return EmaCodes(
        tables=tables,
        share=shares,
        sums=shares[..., None] * tables,
        spread=torch.zeros(1, 2),
        revived=torch.zeros(1, dtype=torch.int64),
    )


def test_a_code_without_rows_moves_to_a_row_that_codes_miss() -> None:
    found = alone([0.5, 0.5, 0.0])
    rows = torch.tensor([[0.0, 0.0], [0.0, 0.0], [10.0, 10.0], [14.0, 16.0]])
    held = books(found.tables.clone())
    follow(found, 0, chosen(held, 0, rows), source())
    assert found.tables[0, 0, 2].tolist() == [14, 16]  # the only one that is missed
    assert found.revived.tolist() == [1]
    assert found.share[0, 0, 2] == pytest.approx(1 / 3)
    assert found.sums[0, 0, 2].tolist() == pytest.approx([14 / 3, 16 / 3])
    assert found.tables[0, 0, 0].tolist() == [0, 0]


def test_a_code_is_given_time_before_it_is_dead() -> None:
    found, rows = alone([1 / 3, 1 / 3, 1 / 3]), torch.tensor([[1.0, -1.0], [9.0, 11.0]])
    patience = math.ceil(math.log(DEAD) / math.log(DECAY))
    assert patience == 459
    for _ in range(patience - 1):
        follow(found, 0, chosen(books(found.tables.clone()), 0, rows), source())
    assert found.tables[0, 0, 2].tolist() == pytest.approx([100, 100], rel=1e-3)
    assert found.revived.tolist() == [0]
    fresh = torch.tensor([[1.0, -1.0], [20.0, 20.0]])
    for _ in range(2):
        follow(found, 0, chosen(books(found.tables.clone()), 0, fresh), source())
    assert found.revived.tolist() == [1]
    assert found.tables[0, 0, 2].tolist() == pytest.approx([20, 20])


def test_where_dead_codes_go_follows_from_the_seed() -> None:
    rows, held = noise(50, 2), books(torch.full((1, 1, 3, 2), 9.0))

    def moved(seed: int) -> Tensor:
        found = alone([0.0, 0.0, 0.0])
        follow(found, 0, chosen(held, 0, rows), source(seed))
        return found.tables

    assert torch.equal(moved(1), moved(1))
    assert not torch.equal(moved(1), moved(2))


def test_more_dead_codes_than_rows_is_no_trouble() -> None:
    found = alone([0.0, 0.0, 0.0])
    rows = torch.tensor([[5.0, 3.0]])
    follow(found, 0, Chosen(rows, torch.tensor([[0]])), source())
    assert found.revived.tolist() == [1] or found.revived.tolist() == [0]
    assert torch.isfinite(found.tables).all()


def test_noise_has_mean_zero_and_the_spread_of_what_codes_miss() -> None:
    held, rows = books(noise(1, 2, 4, 3)), noise(500, 6, seed=2)
    spread = started(held, [rows]).spread[0]
    drawn = noise_like(spread, torch.empty(200, 100, 6), source())
    assert drawn.mean(dim=(0, 1)) == pytest.approx(torch.zeros(6), abs=0.03)
    assert drawn.square().mean(dim=(0, 1)) == pytest.approx(spread, rel=0.05)
    off = missed(held, 0, chosen(held, 0, rows))
    assert float(drawn.square().mean()) == pytest.approx(float(off.square().mean()), rel=0.05)
    assert torch.equal(noise_like(spread, drawn, source(4)), noise_like(spread, drawn, source(4)))


def test_the_commitments_gradient_pulls_rows_to_their_codes() -> None:
    held = books(noise(2, 2, 4, 3).requires_grad_())
    parts = [noise(count, 6, seed=count).requires_grad_() for count in (5, 3, 7)]
    where = (0, 0, 1)  # two messages of one block, one of the next
    met: list[list[Chosen]] = [[], []]
    for block, rows in zip(where, parts, strict=True):
        met[block].append(Chosen(rows, held.quantise(block, rows.detach())))
    total = commitment(held, met)
    by_hand = torch.zeros(())
    for block in (0, 1):
        offs = [missed(held, block, each).detach() for each in met[block]]
        by_hand = by_hand + torch.cat(offs).square().sum(dim=1).mean()
    assert float(total.detach()) == pytest.approx(float(by_hand))
    total.backward()  # type: ignore[no-untyped-call]
    for block, rows, count in zip(where, parts, (8, 8, 7), strict=True):
        off = rows - held.reconstruct(block, held.quantise(block, rows.detach()))
        assert rows.grad is not None
        assert torch.allclose(rows.grad, 2 * off.detach() / count)
    assert held.tables.grad is None
