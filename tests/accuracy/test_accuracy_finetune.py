"""Training lowers what it minimises, by labels and by the exact model; stopped, it goes on alike.

The models are small and random, so the loss on the samples themselves is what can be looked at.
"""

from __future__ import annotations

from pathlib import Path

import checkpoints
import numpy as np
import pytest
import torch
from torch import Tensor

from prism_edge.accuracy.data import read_samples
from prism_edge.accuracy.finetune import Finetune, Recipe, State, pace
from prism_edge.accuracy.losses import Goal, to_exact, to_labels
from prism_edge.accuracy.plan_family import PlanFamily
from prism_edge.accuracy.pools import Pool, epoch, pooled, split
from prism_edge.accuracy.trainable import Trainable
from prism_edge.errors import InputError, ModelError, PlanError

DRAW = np.random.default_rng(0)
MADE = {
    "vit": (checkpoints.vit, {"pixel_values": DRAW.integers(0, 256, (40, 3, 32, 32), np.uint8)}),
    "bert": (checkpoints.bert, {"input_ids": DRAW.integers(0, 50, (40, 12))}),
    "gpt2": (checkpoints.gpt2, {"input_ids": DRAW.integers(0, 50, (40, 12))}),
}


def trainable(family: str, directory: Path, **changes: object) -> Trainable:
    make, _ = MADE[family]
    return Trainable(checkpoints.write(directory / family, *make(**changes)))  # type: ignore[operator]


def begin(
    trained: Trainable,
    family: str,
    directory: Path,
    *,
    plans: str = "prism:p=2..3,l=1..2",
    goal: Goal = "exact",
    rate: float = 1e-3,
    labels: bool = False,
    bf16: bool = False,
) -> Finetune:
    arrays = MADE[family][1] | ({"labels": np.arange(40) % 7} if labels else {})
    np.savez(directory / "data.npz", **arrays)
    pools = pooled(read_samples(directory / "data.npz", trained.exact, batch=8))
    recipe = Recipe(
        goal=goal,
        steps=12,
        batch=8,
        rate=rate,
        lost=0.1,
        every=4,
        patience=9,
        seed=3,
        bf16=bf16,
    )
    train, _ = split(pools, 3)
    # judged by what it learns from: whether that gets better is the question here
    return Finetune(
        trained.model, trained.leaves, trained.exact, PlanFamily.parse(plans), train, train, recipe
    )


def go(run: Finetune, steps: int | None = None) -> list[bool]:
    """All that ``keep`` heard, until the end or for so many steps."""
    kept: list[bool] = []
    over = run.run(lambda *_: None, kept.append, lambda: steps is not None and run.step >= steps)
    assert over == (steps is None)
    return kept


@pytest.mark.parametrize(
    ("family", "goal", "labels", "plans"),
    [
        ("vit", "exact", False, "prism:p=2..3,l=1..2;local"),
        ("vit", "labels", True, "prism:p=2,l=1,dtype=int8"),
        ("bert", "exact", False, "prism:p=2,l=1..2,tap=before|after"),
        ("gpt2", "exact", False, "prism:p=2,l=1|2,dtype=fp32|fp16"),
        ("gpt2", "labels", False, "voltage:p=2;split+prism:p=2,l=1"),
    ],
)
def test_the_loss_falls(family: str, goal: Goal, labels: bool, plans: str, tmp_path: Path) -> None:
    trained = trainable(family, tmp_path)
    run = begin(trained, family, tmp_path, plans=plans, goal=goal, labels=labels)
    kept = go(run)
    assert run.best < run.before
    assert run.best_step > 0
    assert kept[0]
    assert run.judged() == pytest.approx(run.best, rel=0.5)


def weights(trained: Trainable) -> dict[str, Tensor]:
    return {name: leaf.detach().clone() for name, leaf in trained.leaves.items()}


def test_a_run_that_was_stopped_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    whole = trainable("bert", tmp_path)
    kept = go(begin(whole, "bert", tmp_path))
    stopped = trainable("bert", tmp_path)
    first = begin(stopped, "bert", tmp_path)
    heard = go(first, steps=6)
    assert heard.pop() is False  # it was kept when it was stopped, and no look was taken
    held = tmp_path / "state"
    torch.save(first.state(), held)
    state: State = torch.load(held, weights_only=True)
    again = trainable("bert", tmp_path)
    second = begin(again, "bert", tmp_path)
    second.restore(state)
    assert heard + go(second) == kept
    expected = weights(whole)
    assert all(torch.equal(found, expected[name]) for name, found in weights(again).items())
    # negative control: half of it is another thing
    assert not all(torch.equal(found, expected[n]) for n, found in weights(stopped).items())


def test_no_better_weights_end_it_early(tmp_path: Path) -> None:
    trained = trainable("vit", tmp_path)
    run = begin(trained, "vit", tmp_path, plans="voltage:p=2")  # it is exact already
    start = weights(trained)
    kept = go(run)
    assert kept == [True, False, False, False]
    assert run.best_step == 0
    assert start.keys() == trained.leaves.keys()


def test_a_rate_that_is_too_high_is_said(tmp_path: Path) -> None:
    run = begin(trainable("vit", tmp_path), "vit", tmp_path, rate=1e30)
    with pytest.raises(ModelError, match=r"lower --rate than 1e\+30"):
        go(run)


@pytest.mark.parametrize("plan", ["prism:p=2,l=99", "prism:p=2,l=1;prism:p=8,l=9"])
def test_plans_that_fit_no_sample_are_refused(plan: str, tmp_path: Path) -> None:
    with pytest.raises(PlanError):
        begin(trainable("vit", tmp_path), "vit", tmp_path, plans=plan)


def test_labels_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError, match="labels go from 0 to 3"):
        to_labels({"logits": torch.zeros(2, 3)}, torch.tensor([0, 3]), None)
    with pytest.raises(InputError, match="--loss exact"):
        to_labels({"last_hidden_state": torch.zeros(2, 3, 4)}, torch.tensor([0, 1]), None)
    number = to_labels({"logits": torch.tensor([[1.0], [3.0]])}, torch.tensor([1, 1]), None)
    assert number == pytest.approx(2)


def test_the_distance_to_the_exact_model_is_zero_there_and_leaves_padding_out() -> None:
    x, y = torch.randn(2, 4, 8), torch.randn(2, 4, 8)
    for name in ("logits", "last_hidden_state"):
        assert float(to_exact({name: x}, {name: x}, None)) == pytest.approx(0, abs=1e-5)
        assert float(to_exact({name: x}, {name: y}, None)) > 0.1
        real = torch.tensor([[1, 1, 1, 0], [1, 1, 0, 0]])
        padded = torch.where(real[..., None] > 0, x, y)
        assert float(to_exact({name: padded}, {name: x}, real)) == pytest.approx(0, abs=1e-5)
    both = {"last_hidden_state": x, "pooler_output": y[:, 0]}
    assert float(to_exact(both, {**both, "pooler_output": x[:, 0]}, None)) < 1e-5


@pytest.mark.parametrize("family", MADE)
def test_products_in_bf16_train_weights_that_stay_fp32(family: str, tmp_path: Path) -> None:
    trained = trainable(family, tmp_path)
    run = begin(trained, family, tmp_path, plans="prism:p=2,l=1..2;local", bf16=True)
    go(run)
    assert run.best < run.before
    assert {leaf.dtype for leaf in trained.leaves.values()} == {torch.float32}


def test_an_epoch_meets_every_sample_once_and_is_shuffled() -> None:
    pools = [
        Pool(inputs={"x": torch.arange(count * 2).view(count, 2)}, labels=None) for count in (10, 3)
    ]
    first, second = epoch(pools, 4, 0, 0), epoch(pools, 4, 0, 1)
    assert first == epoch(pools, 4, 0, 0) != second
    for place, count in enumerate((10, 3)):
        met = [row for where, rows in first if where == place for row in rows]
        assert sorted(met) == list(range(count))
    with pytest.raises(InputError, match="at least 10"):
        split([pools[1]], 0)
    train, held = split(pools, 0)
    assert (sum(map(len, train)), sum(map(len, held))) == (12, 1)


def test_the_rate_rises_and_falls() -> None:
    rates = [pace(step, 100) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[9] == 1
    assert rates[-1] < 0.01
