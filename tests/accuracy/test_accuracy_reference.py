"""Another model's exact answers are what counts, if it reads and answers alike."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import checkpoints
import numpy as np
import pytest
from test_accuracy_evaluate import DRAW, RUN, WORDS, profiled, value

from prism_edge import tables
from prism_edge.accuracy.data import read_samples
from prism_edge.accuracy.evaluate import Evaluated, evaluate
from prism_edge.accuracy.reference import load_reference
from prism_edge.accuracy.trainable import Trainable
from prism_edge.cli import app
from prism_edge.errors import ModelError, SettingsError
from prism_edge.families import load
from prism_edge.plan import LOCAL, Plan
from prism_edge.schedule.accuracy import worst_drops

MEANS = Plan.parse("prism:p=2,l=1")


@pytest.fixture
def vit(tmp_path: Path) -> Path:
    return checkpoints.write(tmp_path / "vit-b16", *checkpoints.vit())


@pytest.fixture
def trained(vit: Path, tmp_path: Path) -> Path:
    """The same with weights that are a little different."""
    held = Trainable(vit)
    for leaf in held.leaves.values():
        leaf.data += 0.05 * leaf.data.std().nan_to_num() * leaf.data.sign()
    (tmp_path / "trained").mkdir()
    held.save(tmp_path / "trained")
    return tmp_path / "trained"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    pixels = DRAW.integers(0, 256, (40, 3, 32, 32), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", pixel_values=pixels, labels=np.arange(40) % 7)
    return tmp_path / "a.npz"


def found(model: Path, data: Path, reference: Path | None) -> dict[Plan, Evaluated]:
    made = load(model)
    other = None if reference is None else load_reference(reference, made)
    samples = read_samples(data, made, batch=8)
    scored = evaluate(made, [MEANS], samples, lambda *_: None, reference=other)
    return {each.plan: each for each in scored}


def test_a_model_is_its_own_reference(vit: Path, data: Path) -> None:
    own, named = found(vit, data, None), found(vit, data, vit)
    assert own[MEANS].scores == named[MEANS].scores
    assert value(named[LOCAL], "drop") == 0
    assert "drop" not in {score.metric for score in own[LOCAL].scores}


def test_the_originals_answers_count(vit: Path, trained: Path, data: Path) -> None:
    own, against = found(trained, data, None), found(trained, data, vit)
    assert value(own[LOCAL], "agreement") == 1 > value(against[LOCAL], "agreement")
    original = found(vit, data, None)
    for plan in (LOCAL, MEANS):
        assert value(against[plan], "accuracy") == value(own[plan], "accuracy")
        lost = value(original[LOCAL], "accuracy") - value(against[plan], "accuracy")
        assert value(against[plan], "drop") == pytest.approx(lost)


def test_vectors_and_next_tokens_have_references_too(tmp_path: Path) -> None:
    np.savez(tmp_path / "ids.npz", input_ids=DRAW.integers(0, 40, (6, 12)))
    for make, metric in (
        (checkpoints.bert(), "cosine_to_exact"),
        (checkpoints.gpt2("GPT2LMHeadModel"), "perplexity"),
    ):
        model = checkpoints.write(tmp_path / metric, *make)
        own, named = (found(model, tmp_path / "ids.npz", other) for other in (None, model))
        assert value(named[MEANS], metric) == value(own[MEANS], metric)
        assert value(named[MEANS], "drop") == value(own[MEANS], "drop")


def test_what_is_no_reference_is_refused_with_the_reason(vit: Path, tmp_path: Path) -> None:
    def refusal(model: Path, other: Path) -> str:
        with pytest.raises(ModelError) as caught:
            load_reference(other, load(model))
        assert str(other) in str(caught.value)
        return str(caught.value)

    bert = checkpoints.write(tmp_path / "bert", *checkpoints.bert())
    assert "is of family bert" in refusal(vit, bert)
    config, weights = checkpoints.vit()
    again = checkpoints.write(tmp_path / "named", config, weights)
    settings = json.loads((again / "config.json").read_text())
    settings["label2id"] = {f"kind-{number}": 6 - number for number in range(7)}
    (again / "config.json").write_text(json.dumps(settings))
    assert "its classes are not those" in refusal(vit, again)
    other = checkpoints.write(tmp_path / "other", *checkpoints.bert())
    (bert / "vocab.txt").write_text("\n".join(WORDS))
    (other / "vocab.txt").write_text("\n".join([*WORDS[:5], *WORDS[:4:-1]]))
    assert "its tokenizer is not that of" in refusal(bert, other)
    (other / "vocab.txt").write_text("\n".join(WORDS))
    load_reference(other, load(bert))
    (other / "tokenizer_config.json").write_text('{"do_lower_case": false}')
    (bert / "vocab.txt").write_text("\n".join([*WORDS[:-1], "the"]))
    (other / "vocab.txt").write_text("\n".join([*WORDS[:-1], "the"]))
    assert "its tokenizer is not that of" in refusal(bert, other)


def test_a_profile_says_what_its_drops_are_against(
    vit: Path, trained: Path, data: Path, tmp_path: Path
) -> None:
    tables.write(tmp_path / "profile", profiled(trained))
    fixed = ["evaluate", "--model", str(trained), "--data", str(data), "--name", "vit-b16"]
    fixed += ["--profile", str(tmp_path / "profile")]

    def written(*more: str) -> tables.Profile:
        done = RUN.invoke(app, [*fixed, *more])
        assert done.exit_code == 0, done.output
        return tables.read(tmp_path / "profile")

    plain = written("--plans", "prism:p=2,l=1;prism:p=2,l=2")
    key = "accuracy of vit-b16 on a.npz is against"
    assert key not in plain.conditions
    against = written("--plans", "prism:p=2,l=1", "--reference", str(vit))
    assert against.conditions[key].startswith("vit-b16 (")
    # those of the other plan were against the model itself, which is another thing
    assert {row.plan for row in against.accuracy} == {"local", str(MEANS)}
    more = written("--plans", "prism:p=2,l=2", "--reference", str(vit))
    assert {row.plan for row in more.accuracy} == {"local", str(MEANS), "prism:p=2,l=2,dtype=fp32"}
    drops = worst_drops(more.accuracy, "vit-b16")
    assert drops.keys() == {row.plan for row in more.accuracy}
    # a profile that is measured again keeps both
    anew = tables.reading.with_accuracy(replace(profiled(trained), accuracy=()), more)
    assert anew.conditions[key] == more.conditions[key]
    assert not tables.reading.with_accuracy(profiled(vit), more).accuracy
    assert key not in tables.reading.with_accuracy(profiled(vit), more).conditions
    gone = RUN.invoke(app, [*fixed, "--plans", "voltage:p=2", "--reference", str(tmp_path / "no")])
    assert isinstance(gone.exception, SettingsError)
