"""A benchmark knows models by name, lengths by model, and says why a plan is not measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rehearsal import GPT2, VIT

from prism_edge.bench.cases import Wanted, find_models, require_fits, syncs, usual_plans
from prism_edge.bench.compare import Cell, Work
from prism_edge.errors import PlanError, SettingsError
from prism_edge.plan import LOCAL, Plan
from prism_edge.settings import ModelSettings

MINE = ModelSettings(name="mine", path=Path("/models/mine"))
SPLIT = Plan.parse("split:p=2")


def cell(batch: int, tokens: int = 197, boards: int = 2, work: Work = "forward") -> Cell:
    return Cell(model="m", work=work, batch=batch, tokens=tokens, rate=None, boards=boards)


def wanted(**changes: Any) -> Wanted:
    return Wanted(**{"models": (MINE,), **changes})


def test_models_are_listed_given_or_made(tmp_path: Path) -> None:
    names = ["mine", "gpt2", f"x={tmp_path}"]
    models, made = find_models(names, [MINE], tmp_path / "cache")
    assert [(model.name, model.path) for model in models] == [
        ("mine", Path("/models/mine")),
        ("gpt2", tmp_path / "cache" / "gpt2"),
        ("x", tmp_path),
    ]
    assert made == ("gpt2",)


def test_a_listed_model_given_elsewhere_keeps_its_limit(tmp_path: Path) -> None:
    (found,), _ = find_models(
        [f"mine={tmp_path}"], [replace(MINE, max_accuracy_drop=0.01)], tmp_path
    )
    assert (found.path, found.max_accuracy_drop) == (tmp_path, 0.01)


def test_a_listed_model_hides_a_size_of_that_name(tmp_path: Path) -> None:
    listed = ModelSettings(name="gpt2", path=tmp_path)
    assert find_models(["gpt2"], [listed], tmp_path / "cache") == ((listed,), ())


@pytest.mark.parametrize(
    ("names", "expected"),
    [(["vit-b17"], "one of mine, vit-b16"), (["mine", "mine=/x"], "mine is given twice")],
)
def test_a_model_nobody_knows_is_refused(names: list[str], expected: str) -> None:
    with pytest.raises(SettingsError, match=expected):
        find_models(names, [MINE], Path("/cache"))


def test_lengths_are_the_models_own() -> None:
    assert wanted(tokens=(5,)).lengths("v", VIT) == (197,)
    assert wanted().lengths("mine", GPT2) == (128,)
    assert wanted(random=("gpt2",)).lengths("gpt2", GPT2) == (512,)
    assert wanted(random=("gpt2",), tokens=(7, 9, 7)).lengths("gpt2", GPT2) == (7, 9)
    with pytest.raises(SettingsError, match="mine has 1024 positions"):
        wanted(tokens=(1025,)).lengths("mine", GPT2)


def test_local_is_always_measured_and_once() -> None:
    assert wanted(plans=(SPLIT, LOCAL, SPLIT)).plans_for(VIT, 2) == (LOCAL, SPLIT)
    assert wanted().plans_for(VIT, 1) == (LOCAL,)
    assert list(map(str, wanted().plans_for(GPT2, 3))) == [
        "local",
        "split:p=3",
        "prism:p=3,l=32,dtype=fp16",
        "voltage:p=3,dtype=fp32",
    ]


def test_the_usual_plans_fit_the_usual_sizes() -> None:
    for shape, tokens in ((VIT, 197), (GPT2, 512)):
        for boards in (2, 4):
            for plan in usual_plans(shape, boards):
                require_fits(plan, shape, cell(8, tokens, boards))


@pytest.mark.parametrize(
    ("plan", "batch", "boards", "expected"),
    [
        (SPLIT, 1, 2, "leaves boards without work"),
        (Plan.parse("voltage:p=3,dtype=fp32"), 4, 2, "3 ranks, but 2 board"),
        (Plan.parse("prism:p=2,l=100,dtype=fp16"), 4, 2, "at most l=99"),
    ],
)
def test_what_cannot_be_measured_says_why(
    plan: Plan, batch: int, boards: int, expected: str
) -> None:
    with pytest.raises(PlanError, match=expected):
        require_fits(plan, VIT, cell(batch, boards=boards))


def test_syncs_are_the_exchanges_that_must_wait_for_each_other() -> None:
    every = "prism:p=2,l=10/0/0/0/0/0/10/0/0/0/0/0,dtype=fp16"
    counts = {
        text: syncs(Plan.parse(text), VIT, cell(3))
        for text in ("local", "split:p=2", "prism:p=2,l=10", every, "split+prism:p=2,l=10")
    }
    assert list(counts.values()) == [0, 0, 11, 1, 11]
    assert syncs(Plan.parse("split+prism:p=2,l=10"), VIT, cell(4)) == 0


def test_texts_that_go_on_stay_with_the_leader() -> None:
    for text in ("split:p=2", "split+prism:p=2,l=10"):
        require_fits(Plan.parse(text), GPT2, cell(4))
        with pytest.raises(PlanError, match="the leader goes on with every text"):
            require_fits(Plan.parse(text), GPT2, cell(4, work="prefill"))
    require_fits(Plan.parse("split+prism:p=2,l=10"), GPT2, cell(1, work="prefill"))


@pytest.mark.parametrize("field", ["repeats", "batches", "tokens"])
def test_nothing_to_measure_is_refused(field: str) -> None:
    with pytest.raises(SettingsError, match=f"--{field} 0: allowed is 1"):
        wanted(**{field: 0 if field == "repeats" else (2, 0)})
