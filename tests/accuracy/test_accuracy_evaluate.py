"""Data are read whole or refused by place; exact plans score as the model does, others as labelled.

The model is small and random: what it says is nothing, but every plan's answer is compared with it.
"""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import checkpoints
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from prism_edge import tables
from prism_edge.accuracy.data import read_samples
from prism_edge.accuracy.evaluate import Evaluated, evaluate
from prism_edge.accuracy.into_profile import with_scores
from prism_edge.accuracy.scores import Score
from prism_edge.cli import app
from prism_edge.errors import InputError, ModelError, PlanError, SettingsError
from prism_edge.families import load
from prism_edge.families.checkpoint import fingerprint
from prism_edge.families.model import Model
from prism_edge.plan import Plan
from prism_edge.tables import AccuracyRow, Profile

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{n}" for n in range(45))]
DRAW = np.random.default_rng(0)
RUN = CliRunner()


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints.write(tmp_path_factory.mktemp("vit") / "vit-b16", *checkpoints.vit())


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = checkpoints.write(tmp_path_factory.mktemp("bert"), *checkpoints.bert())
    (directory / "vocab.txt").write_text("\n".join(WORDS), encoding="utf-8")
    return directory


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five images of each of seven classes."""
    folder = tmp_path_factory.mktemp("images")
    for number in range(35):
        path = folder / f"class-{number % 7}" / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(DRAW.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(path)
    return folder


def run(model: Model, data: Path, *plans: str, limit: int | None = None) -> dict[str, Evaluated]:
    samples = read_samples(data, model, batch=4, limit=limit)
    found = evaluate(model, [Plan.parse(plan) for plan in plans], samples, lambda *_: None)
    return {str(each.plan): each for each in found}


def value(found: Evaluated, metric: str) -> float:
    return next(score.value for score in found.scores if score.metric == metric)


def test_images_by_folder_and_by_array_score_alike(vit: Path, images: Path, tmp_path: Path) -> None:
    model = load(vit)
    found = run(model, images, "voltage:p=2", "prism:p=2,l=1")
    assert set(found) == {"local", "voltage:p=2,dtype=fp32", "prism:p=2,l=1,dtype=fp32"}
    local, full, means = found.values()
    assert value(local, "agreement") == value(full, "agreement") == 1
    assert value(full, "accuracy") == value(local, "accuracy")
    assert value(means, "agreement") < 1  # negative control: one mean a rank loses something
    assert local.wire_bytes == 0 < means.wire_bytes < full.wire_bytes
    samples = read_samples(images, model, batch=4)
    arrays = {"pixel_values": np.concatenate([b["pixel_values"] for b in samples.inputs])}
    assert samples.labels is not None
    np.savez(tmp_path / "same.npz", labels=samples.labels, **arrays)
    again = run(model, tmp_path / "same.npz", "prism:p=2,l=1")
    assert again["prism:p=2,l=1,dtype=fp32"].scores == means.scores


def test_a_limit_takes_some_of_every_class(vit: Path, images: Path) -> None:
    labels = read_samples(images, load(vit), batch=4, limit=14).labels
    assert labels is not None
    assert sorted(labels.tolist()) == sorted([*range(7), *range(7)])


def test_texts_need_no_labels_and_no_padding(bert: Path, tmp_path: Path) -> None:
    texts = [" ".join(f"w{n}" for n in DRAW.integers(0, 45, size)) for size in (8, 8, 12, 10)]
    lines = tmp_path / "texts.jsonl"
    lines.write_text("\n".join(json.dumps({"text": text}) for text in texts) + "\n\n")
    table = tmp_path / "texts.csv"
    table.write_text("label,sentence\n" + "\n".join(f"1,{text}" for text in texts))
    model = load(bert)
    samples = read_samples(lines, model, batch=4)
    assert [tuple(batch["input_ids"].shape) for batch in samples.inputs] == [
        (2, 10),
        (1, 14),
        (1, 12),
    ]
    found = run(model, lines, "voltage:p=2", "prism:p=2,l=2")
    assert value(found["voltage:p=2,dtype=fp32"], "cosine_to_exact") == pytest.approx(1, abs=1e-6)
    assert value(found["prism:p=2,l=2,dtype=fp32"], "cosine_to_exact") < 1 - 1e-6
    assert run(model, table, "prism:p=2,l=2").keys() == {"local", "prism:p=2,l=2,dtype=fp32"}


def test_a_causal_model_has_a_perplexity(tmp_path: Path) -> None:
    model = load(checkpoints.write(tmp_path / "gpt2", *checkpoints.gpt2("GPT2LMHeadModel")))
    np.savez(tmp_path / "ids.npz", input_ids=DRAW.integers(0, 40, (6, 12)))
    found = run(model, tmp_path / "ids.npz", "voltage:p=2", "prism:p=2,l=1")
    local, full, means = found.values()
    assert value(full, "perplexity") == pytest.approx(value(local, "perplexity"), rel=1e-4)
    assert value(means, "perplexity") != pytest.approx(value(local, "perplexity"), rel=1e-4)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.jsonl", '{"text": "w1"}\n{"txt": 1}\n', r"a.jsonl:2: a text under 'text'"),
        ("a.jsonl", '{"text": "w1"}\n[1]\n', "a.jsonl:2: a JSON object"),
        ("a.jsonl", "not json\n", "a.jsonl:1: not JSON"),
        ("a.jsonl", "", "holds no text"),
        ("a.csv", "text,label\nw1,yes\n", "labels must be numbers"),
        ("a.jsonl", json.dumps({"text": "w1 " * 600}), r"a.jsonl:1: 602 tokens"),
        ("a.xyz", "", "data come as"),
    ],
)
def test_what_cannot_be_used_is_refused_by_place(
    name: str, text: str, said: str, bert: Path, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=said):
        read_samples(tmp_path / name, load(bert), batch=4)


def test_arrays_and_labels_that_do_not_fit_are_refused(vit: Path, tmp_path: Path) -> None:
    model, pixels = load(vit), np.zeros((3, 3, 32, 32), np.uint8)
    np.savez(tmp_path / "a.npz", pixel_values=pixels, labels=np.arange(4))
    with pytest.raises(InputError, match="arrays of one length"):
        read_samples(tmp_path / "a.npz", model, batch=4)
    np.savez(tmp_path / "b.npz", pixel_values=pixels, labels=np.array([0, 1, 7]))
    with pytest.raises(InputError, match="labels go from 0 to 7"):
        run(model, tmp_path / "b.npz", "prism:p=2,l=2")
    np.savez(tmp_path / "c.npz", pixel_values=pixels, labels=np.array(["0", "1", "2"]))
    with pytest.raises(InputError, match="labels are <U1 of shape"):
        run(model, tmp_path / "c.npz", "prism:p=2,l=2")
    np.savez(tmp_path / "d.npz", pixel_values=pixels, labels=np.array([0, 1, 2], np.uint8))
    assert run(model, tmp_path / "d.npz", "prism:p=2,l=2")
    with pytest.raises(InputError, match="no such file"):
        read_samples(tmp_path / "none.npz", model, batch=4)


def test_plans_are_refused_before_anything_is_computed(vit: Path, images: Path) -> None:
    told: list[str] = []
    model = load(vit)
    samples = read_samples(images, model, batch=4)
    for plan, error in (("prism:p=2,l=99", PlanError), ("astra:p=2,g=4,k=8", ModelError)):
        with pytest.raises(error):
            evaluate(model, [Plan.parse(plan)], samples, lambda text, *_: told.append(text))
    assert not told


def test_folders_that_are_no_classes_of_the_model_are_refused(vit: Path, tmp_path: Path) -> None:
    for name in ("cats", "dogs"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (32, 32)).save(tmp_path / name / "a.png")
    with pytest.raises(InputError, match=r"2 classes .* knows 7 classes"):
        read_samples(tmp_path, load(vit), batch=4)


def profiled(model: Path) -> Profile:
    """The lab's tables, as if they were of the model in that directory."""
    lab = tables.read(Path(__file__).parents[2] / "profiles" / "lab")
    (entry,) = (entry for entry in lab.models if entry.name == "vit-b16")
    return replace(lab, models=(replace(entry, fingerprint=fingerprint(model)),))


def scored(plan: str, *found: tuple[str, float]) -> Evaluated:
    return Evaluated(
        plan=Plan.parse(plan),
        scores=tuple(Score(metric=m, value=v, n=9, low=None, high=None) for m, v in found),
        wire_bytes=0.0,
    )


def test_rows_that_need_another_local_do_not_stay(vit: Path) -> None:
    """Without a drop of its own a plan is held against local's row, now of other samples."""
    bare, paired = (
        AccuracyRow(
            model="vit-b16",
            plan=f"prism:p=2,l={n},dtype=fp32",
            dataset="d",
            metric=m,
            value=0.1,
            n=9,
        )
        for n, m in ((1, "accuracy"), (2, "drop"))
    )
    elsewhere = replace(bare, dataset="other")
    before = replace(profiled(vit), accuracy=(bare, paired, elsewhere))
    after = with_scores(before, "vit-b16", "d", [scored("local", ("accuracy", 0.2))], None)
    assert after.accuracy[:-1] == (paired, elsewhere)
    assert after.accuracy[-1].plan == "local"


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_plan_that_overflows_has_no_rows_and_spoils_no_others(vit: Path, value: float) -> None:
    """Nor those of before: it counts as never measured."""
    text = "prism:p=2,l=1,dtype=fp16"
    drops = [scored("local", ("perplexity", 3.0)), scored(text, ("perplexity", 4.0), ("drop", 1.0))]
    profile = with_scores(replace(profiled(vit), accuracy=()), "vit-b16", "d", drops, None)
    assert {row.plan for row in profile.accuracy} == {"local", text}
    drops[1] = scored(text, ("perplexity", value), ("drop", value))
    assert [each.finite for each in drops] == [True, False]
    profile = with_scores(profile, "vit-b16", "d", drops, None)
    assert {row.plan for row in profile.accuracy} == {"local"}


def test_the_command_says_which_plan_overflows(tmp_path: Path) -> None:
    config, weights = checkpoints.bert()
    weights["embeddings.LayerNorm.weight"] *= 1e6  # more than fp16 holds
    model = checkpoints.write(tmp_path / "bert", config, weights)
    np.savez(tmp_path / "ids.npz", input_ids=DRAW.integers(5, 50, size=(4, 12)))
    tables.write(tmp_path / "profile", replace(profiled(model), accuracy=()))
    command = ["evaluate", "--model", str(model), "--data", str(tmp_path / "ids.npz")]
    command += ["--plans", "prism:p=2,l=1,dtype=fp16;prism:p=2,l=1", "--name", "vit-b16"]
    done = RUN.invoke(app, [*command, "--profile", str(tmp_path / "profile")])
    assert done.exit_code == 0, done.output
    assert "prism:p=2,l=1,dtype=fp16: a score is no number" in done.output
    kept = {row.plan for row in tables.read(tmp_path / "profile").accuracy}
    assert kept == {"local", "prism:p=2,l=1,dtype=fp32"}


def test_the_command_prints_rows_and_fills_a_profile(
    vit: Path, images: Path, tmp_path: Path
) -> None:
    known = AccuracyRow(
        model="vit-b16", plan="local", dataset="other", metric="accuracy", value=0.9, n=10
    )
    tables.write(tmp_path / "profile", replace(profiled(vit), accuracy=(known,)))
    command = ["evaluate", "--model", str(vit), "--data", str(images), "--plans", "prism:p=2,l=1"]
    done = RUN.invoke(app, [*command, "--profile", str(tmp_path / "profile"), "--json"])
    assert done.exit_code == 0, done.output
    rows = json.loads(done.stdout)
    assert {row["plan"] for row in rows} == {"local", "prism:p=2,l=1,dtype=fp32"}
    assert set(rows[0]) == {"plan", "metric", "value", "n", "ci_low", "ci_high", "wire_bytes"}
    written = tables.read(tmp_path / "profile").accuracy
    assert written[0] == known
    assert len(written) == 1 + len(rows)
    twice = RUN.invoke(app, [*command, "--profile", str(tmp_path / "profile")])
    assert twice.exit_code == 0
    assert "agreement" in twice.output
    assert tables.read(tmp_path / "profile").accuracy == written
    other = RUN.invoke(app, [*command, "--profile", str(tmp_path / "profile"), "--name", "x"])
    assert isinstance(other.exception, SettingsError)
    assert "batch 1" not in other.output  # before hours of work
    tables.write(tmp_path / "foreign", tables.read(Path(__file__).parents[2] / "profiles" / "lab"))
    foreign = RUN.invoke(app, [*command, "--profile", str(tmp_path / "foreign")])
    assert isinstance(foreign.exception, SettingsError)
    assert "was profiled with other weights" in str(foreign.exception)
    assert isinstance(RUN.invoke(app, [*command[:-1], " "]).exception, SettingsError)
    nowhere = RUN.invoke(app, [*command, "--plot", str(tmp_path / "no" / "a.png")])
    assert "is no directory" in str(nowhere.exception)
