"""Codebooks are fitted to the rows that travel: the loop's own, no padding, no class token."""

from __future__ import annotations

import pytest
import torch
from nets import Net, error, noise, padding
from torch import Tensor

from prism_edge.calibrate import APART, Calibrated, calibrate, sendable, travelling_rows
from prism_edge.errors import InputError
from prism_edge.families.model import Model, Tensors
from prism_edge.plan import Tap
from prism_edge.request import CPU_ROWS, local_rows
from prism_edge.spans import Recorder

EVERYTHING = 10_000


def quiet(text: str, done: float, total: float) -> None:
    assert 0 <= done < total


def inputs(batch: int = 3, tokens: int = 12, seed: int = 1) -> Tensors:
    return {"x": noise(batch, tokens, 32, seed=seed)}


def taken(
    net: Model,
    batches: list[Tensors],
    *,
    tap: Tap = "after",
    samples: int = EVERYTHING,
    seed: int = 0,
) -> list[Tensor]:
    return travelling_rows(net, batches, tap=tap, samples=samples, seed=seed, tell=quiet)


def states(net: Net, x: Tensor) -> list[Tensor]:
    """What enters each block, by running one block less each time.  -> [B,N,D] per block"""
    found = [x]
    for count in range(1, len(net.blocks)):
        shorter = Net(blocks=4, lead=1, class_token=net.shape.class_token)
        shorter.blocks = net.blocks[:count]
        with torch.inference_mode():
            found.append(local_rows(shorter, {"x": x}, Recorder()))
    return found


@pytest.mark.parametrize("tap", ["after", "before"])
@pytest.mark.parametrize("class_token", [True, False])
def test_the_rows_are_those_that_enter_the_blocks(tap: Tap, class_token: bool) -> None:
    net, given = Net(lead=1, class_token=class_token), inputs()
    found = taken(net, [given], tap=tap)
    assert len(found) == 4
    first = 1 if class_token else 0
    for block, rows, x in zip(net.blocks, found, states(net, given["x"]), strict=True):
        expected = x if tap == "before" else block.inputs(x)
        assert error(rows, expected[:, first:].flatten(0, 1)) < 1e-5
        other = block.inputs(x) if tap == "before" else x
        assert error(rows, other[:, first:].flatten(0, 1)) > 1e-1


def test_padding_is_never_taken() -> None:
    net, lengths = Net(lead=1, class_token=True), [12, 5, 1]
    x, real = noise(3, 12, 32), padding(lengths, 12)
    assert sendable(net, {"x": x, "real": real}).sum(dim=1).tolist() == [11, 4, 0]
    first = taken(net, [{"x": x, "real": real}])[0]
    normed = net.blocks[0].inputs(x)
    assert error(first, torch.cat([normed[0, 1:], normed[1, 1:5]])) < 1e-5
    assert taken(net, [{"x": x}])[0].shape[0] == 33


def test_a_sample_is_drawn_from_all_inputs_by_the_seed() -> None:
    net, batches = Net(), [inputs(seed=seed) for seed in (1, 2, 3)]
    every = taken(net, batches)
    some, again, other = (taken(net, batches, samples=40, seed=seed) for seed in (5, 5, 6))
    for block in range(4):
        assert some[block].shape == (40, 32)
        assert torch.equal(some[block], again[block])
        assert not torch.equal(some[block], other[block])
        places = torch.cdist(some[block], every[block]).argmin(dim=1)
        assert (places.diff() > 0).all()  # rows of the inputs, none of them twice
        assert {int(place) // 36 for place in places} == {0, 1, 2}
    # the same tokens in every block
    before = [torch.cdist(some[b], every[b]).argmin(dim=1).tolist() for b in range(4)]
    assert before == [before[0]] * 4


def test_too_few_rows_are_refused() -> None:
    net = Net(lead=1, class_token=True)
    with pytest.raises(InputError, match="6 rows to fit codes to, at least 10"):
        taken(net, [inputs(batch=3, tokens=3)])
    assert taken(net, [inputs(batch=5, tokens=3)])[0].shape[0] == APART


def fitted(net: Net, batches: list[Tensors], **changes: int) -> Calibrated:
    wish = {"g": 4, "k": 16, "samples": EVERYTHING, "seed": 0, **changes}
    return calibrate(net, batches, tap="after", tell=quiet, **wish)


def test_more_codes_lose_less_and_new_rows_lose_more() -> None:
    net, batches = Net(), [inputs(batch=8, tokens=20)]
    few, many = fitted(net, batches, k=4), fitted(net, batches, k=64)
    assert many.codebooks.tables.shape == (4, 4, 64, 8)
    assert many.samples == 144  # a tenth of 160 kept apart
    for block in range(4):
        assert few.fitted[block].relative_error > many.fitted[block].relative_error
        assert few.unseen[block].relative_error > many.unseen[block].relative_error
        assert many.unseen[block].relative_error > many.fitted[block].relative_error


def test_a_code_for_every_row_loses_nothing_of_those() -> None:
    found = fitted(Net(), [inputs()], k=64)
    assert max(block.relative_error for block in found.fitted) < 1e-6
    assert min(block.relative_error for block in found.unseen) > 1e-1


def test_the_model_is_left_as_it_was() -> None:
    net, given = Net(), inputs()
    blocks = list(net.blocks)
    with torch.inference_mode():
        before = local_rows(net, given, Recorder())
        fitted(net, [given])
        assert torch.equal(local_rows(net, given, Recorder()), before)
    assert all(now is then for now, then in zip(net.blocks, blocks, strict=True))


def test_a_batch_larger_than_a_board_computes_at_once_gives_its_rows() -> None:
    net, x = Net(lead=1, class_token=True), noise(1 + CPU_ROWS // 32, 32, 32)
    found = taken(net, [{"x": x}])
    apart = taken(net, [{"x": x[:9]}, {"x": x[9:]}])
    for rows, expected in zip(found, apart, strict=True):
        assert rows.shape[0] == x.shape[0] * 31 > CPU_ROWS - x.shape[0]
        assert error(rows, expected) < 1e-5
