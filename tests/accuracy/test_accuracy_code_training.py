"""Codes and weights are trained together: better than k-means on held samples, and only then noisy.

The models are small and random; their own exact answers are what they learn.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import checkpoints
import numpy as np
import pytest
import torch
from nets import Net, error, noise, padding
from torch import Tensor

from prism_edge.accuracy.code_training import CodeTraining, Pass, joined
from prism_edge.accuracy.data import read_samples
from prism_edge.accuracy.finetune import Finetune, Recipe, State
from prism_edge.accuracy.plan_family import PlanFamily
from prism_edge.accuracy.pools import pooled, split
from prism_edge.accuracy.trainable import Trainable
from prism_edge.accuracy.unfinished import keep, open_run
from prism_edge.errors import ModelError, PlanError
from prism_edge.families.codebook_file import Fitted, read_codebooks, write_codebooks
from prism_edge.families.model import Tensors
from prism_edge.plan import Plan
from prism_edge.simulate import simulate
from prism_edge.tensors.codebook import Codebooks

PLAN = Plan.parse("astra:p=2,g=4,k=8")


def trained_codes(
    net: Net, directory: Path, *, size: float = 1.0, plans: str = str(PLAN)
) -> CodeTraining:
    net.directory = directory  # where no codes are
    made = CodeTraining(net, PlanFamily.parse(plans), noise=size, beta=1.0)
    made.begin([{"x": noise(4, 16, 32, seed=9)}], 60, 0, lambda *_: None)
    return made


def answer(net: Net, inputs: Tensors, through: Pass | None) -> Tensor:
    made = None if through is None else through.make
    return simulate(net, PLAN, inputs, None, made)["rows"]


def test_there_is_noise_in_training_and_nowhere_else(tmp_path: Path) -> None:
    net, inputs = Net(lead=1), {"x": noise(3, 16, 32)}
    codes = trained_codes(net, tmp_path)
    sent = answer(net, inputs, None)  # by the exchange that boards use
    assert torch.equal(answer(net, inputs, codes.judging(PLAN)), sent)

    def noisy(made: CodeTraining, seed: int) -> Tensor:
        return answer(net, inputs, made.training(PLAN, np.random.default_rng(seed)))

    assert error(noisy(codes, 1), sent) > 1e-2
    assert torch.equal(noisy(codes, 1), noisy(codes, 1))
    assert not torch.equal(noisy(codes, 1), noisy(codes, 2))
    assert torch.equal(noisy(trained_codes(net, tmp_path, size=0), 1), sent)


def test_codes_follow_what_was_sent_and_padding_is_not(tmp_path: Path) -> None:
    net, codes = Net(), None
    codes = trained_codes(net, tmp_path)
    before = net.codebooks(4, 8).tables.clone()
    step = codes.training(PLAN, np.random.default_rng(0))
    assert step is not None
    inputs = {"x": noise(3, 16, 32), "real": padding((16, 9, 12), 16)}
    answer(net, inputs, step)
    assert [len(joined(messages).rows) for messages in step.met] == [37] * 4
    first = net.blocks[0].inputs(inputs["x"])[inputs["real"] > 0]
    assert torch.equal(joined(step.met[0]).rows.sort(dim=0)[0], first.sort(dim=0)[0])
    codes.follow(step)
    after = net.codebooks(4, 8).tables
    assert all(not torch.equal(new, old) for new, old in zip(after, before, strict=True))


def test_rows_that_nobody_hears_are_none_of_the_codes(tmp_path: Path) -> None:
    net, inputs = Net(causal=True), {"x": noise(3, 16, 32)}
    look = trained_codes(net, tmp_path).judging(PLAN)
    assert look is not None
    answer(net, inputs, look)
    assert [len(joined(messages).rows) for messages in look.met] == [3 * 8] * 4
    first = net.blocks[0].inputs(inputs["x"])[:, :8].flatten(0, 1)  # the leader's are the last 8
    assert torch.equal(joined(look.met[0]).rows, first)


@pytest.mark.parametrize(
    ("plans", "said"),
    [
        ("astra:p=2,g=3", "g=3 does not divide the model's width 32"),
        ("astra:p=2,g=4,k=8;astra:p=3,g=4,k=8,tap=before", "for one tap, not for both"),
    ],
)
def test_codes_that_cannot_be_are_refused(plans: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=said):
        trained_codes(Net(), tmp_path, plans=plans)


def vit(directory: Path) -> Trainable:
    return Trainable(checkpoints.write(directory / "vit", *checkpoints.vit()))


def bert(directory: Path) -> Trainable:
    return Trainable(checkpoints.write(directory / "bert", *checkpoints.bert()))


def begin(
    trained: Trainable,
    directory: Path,
    steps: int,
    plans: str = str(PLAN),
    rate: float = 1e-3,
    **arrays: np.ndarray[tuple[int, ...], np.dtype[Any]],
) -> Finetune:
    if not arrays:
        arrays = {"input_ids": np.random.default_rng(0).integers(0, 50, (60, 12))}
    np.savez(directory / "data.npz", **arrays)  # type: ignore[arg-type]
    parts = split(pooled(read_samples(directory / "data.npz", trained.exact, batch=10)), 3)
    recipe = Recipe(steps=steps, batch=10, rate=rate, every=5, patience=99, seed=3)
    family = PlanFamily.parse(plans)
    return Finetune(trained.model, trained.leaves, trained.exact, family, *parts, recipe)


def go(run: Finetune, steps: int | None = None) -> None:
    run.run(lambda *_: None, lambda _: None, lambda: steps is not None and run.step >= steps)


def test_held_samples_fare_better_than_by_kmeans_alone(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (120, 3, 32, 32), np.uint8)
    run = begin(vit(tmp_path), tmp_path, 20, "astra:p=2,g=2,k=16", rate=3e-4, pixel_values=images)
    go(run)
    assert run.best < 0.9 * run.before
    old, new = run.usage_before["g=2,k=16"], run.usage["g=2,k=16"]
    assert len(old) == len(new) == 2
    assert all(0 < block["used"] <= 1 <= block["perplexity"] <= 16 for block in old + new)


def test_codes_beside_the_model_are_the_start(tmp_path: Path) -> None:
    trained = bert(tmp_path)
    tables = noise(2, 4, 8, 4)
    fitted = Fitted(samples=9, seed=0, relative_error=(0.5, 0.5))
    write_codebooks(tmp_path / "bert", Codebooks(tables=tables), fitted)
    run = begin(trained, tmp_path, 1)
    go(run, steps=0)
    assert torch.equal(trained.exact.codebooks(4, 8).tables, tables)
    with pytest.raises(PlanError, match="ask for tap=after"):
        begin(trained, tmp_path, 1, "astra:p=2,g=4,k=8,tap=before")


def test_a_run_that_was_stopped_goes_on_to_the_same_codes(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    plans = "astra:p=2..3,g=4|8,k=8;prism:p=2,l=2"

    def made(trained: Trainable) -> list[Tensor]:
        return [trained.exact.codebooks(g, 8).tables.clone() for g in (4, 8)]

    whole = bert(tmp_path)
    run = begin(whole, tmp_path, 12, plans)
    go(run)
    stopped = bert(tmp_path)
    first = begin(stopped, tmp_path, 12, plans)
    go(first, steps=6)
    half = made(stopped)
    torch.save(first.state(), tmp_path / "state")
    state: State = torch.load(tmp_path / "state", weights_only=True)
    again = bert(tmp_path)
    second = begin(again, tmp_path, 12, plans)
    second.restore(state)
    go(second)
    assert second.usage == run.usage
    assert second.best == run.best
    for found, expected, then in zip(made(again), made(whole), half, strict=True):
        assert torch.equal(found, expected)
        assert not torch.equal(then, expected)  # negative control


def test_what_is_saved_is_what_was_trained(tmp_path: Path) -> None:
    trained = bert(tmp_path)
    run = begin(trained, tmp_path, 5)
    go(run)
    (tmp_path / "out").mkdir()
    trained.save(tmp_path / "out")
    run.codes.save(tmp_path / "out", seed=3)
    found = read_codebooks(tmp_path / "out", 4, 8)
    assert torch.equal(found.tables, trained.exact.codebooks(4, 8).tables)


def test_only_codes_that_held_samples_met_are_reported(tmp_path: Path) -> None:
    run = begin(bert(tmp_path), tmp_path, 2, "local;astra:p=2,g=4|8,k=8")  # one held batch
    go(run)
    assert len(run.usage_before) == 1
    assert run.usage_before.keys() == run.usage.keys()
    assert run.codes.usage.keys() == {"g=4,k=8", "g=8,k=8"}  # the fit's errors, for the files


def test_a_kill_between_weights_and_codes_is_put_right(tmp_path: Path) -> None:
    out, asked = tmp_path / "out", {"seed": 3}

    def content() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in out.iterdir()}

    trained = bert(tmp_path)
    run = begin(trained, tmp_path, 5)
    open_run(out, run, trained, asked)
    run.run(lambda *_: None, lambda b: keep(out, run, trained, asked, better=b), lambda: True)
    whole = content()
    with torch.no_grad():
        trained.leaves["encoder.layer.0.output.dense.bias"].add_(1)
    trained.save(out)  # and the codes were still to come
    with pytest.raises(ModelError, match="fitted to model"):
        read_codebooks(out, 4, 8)
    again = bert(tmp_path)
    open_run(out, begin(again, tmp_path, 5), again, asked)
    assert content() == whole
