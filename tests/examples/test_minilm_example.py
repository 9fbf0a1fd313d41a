"""Passages are whole new sentences of prose, of the lengths asked for; a curve has every plan."""

from __future__ import annotations

import importlib.util
import json
import random
import sys
from pathlib import Path
from types import ModuleType

import checkpoints
import pytest

FOLDER = Path(__file__).parents[2] / "examples" / "minilm"
PROSE = "A reader of this page may expect that every sentence in it is a whole one."


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"minilm_{name}", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look it up
    spec.loader.exec_module(module)
    return module


passages = load("passages")


def words(text: str) -> int:
    return len(text.split())


def test_sentences_are_of_prose_and_without_markup() -> None:
    text = f"""Heading
=======

{PROSE} The second one names ``a_thing``
and :class:`~package.Other` in a line of its own.

>>> print("Code is not a sentence, whatever it says about that here.")

- A list's item is not taken, although it is a whole sentence.

count (int, optional): How many things of this kind there are in the whole.

x = A line with symbols is no sentence, even though it may end like one.

And this has no end, so it is none either
"""
    assert passages.sentences(text) == [
        PROSE,
        "The second one names a_thing and package.Other in a line of its own.",
    ]


def test_passages_have_the_lengths_asked_for_and_no_sentence_twice() -> None:
    draw = random.Random(1)
    many = [
        " ".join(["Word", *(draw.choice("abcdefgh") * 3 for _ in range(draw.randint(5, 40)))]) + "."
        for _ in range(400)
    ]
    documents = [("one", " ".join(many)), ("two", " ".join(many[:50])), ("three", PROSE)]
    seen = {many[7].lower()}
    found = passages.passages(documents, words, seen, 0)
    assert found == passages.passages(documents, words, {many[7].lower()}, 0)
    lengths = [words(one["text"]) + passages.AROUND for one in found]
    assert passages.SHORTEST <= min(lengths) < 70
    assert 120 < max(lengths) <= passages.LONGEST
    assert {one["where"] for one in found} == {"one"}  # what two says is known, three is too short
    taken = [part for one in found for part in passages.sentences(one["text"])]
    assert len(set(taken)) == len(taken) > 300
    assert many[7] not in taken


def test_a_sentence_longer_than_a_passage_is_left_out() -> None:
    long = "A " + "very " * 200 + "long one."
    runs = list(passages.runs(f"{PROSE} {long} {PROSE}", words, set(), random.Random(0)))
    assert runs == []
    parts = [PROSE.replace("this", f"{letter * 4}") for letter in "abcdefgh"]
    runs = list(passages.runs(" ".join([*parts, long]), words, set(), random.Random(0)))
    assert runs
    assert all(long not in run for run in runs)


def test_docstrings_of_a_folder_are_found_and_those_of_tests_are_not(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "a.py").write_text('"""Of a."""\ndef f():\n    """Of f."""\n')
    (tmp_path / "broken.py").write_text("def (:")
    (tmp_path / "tests" / "b.py").write_text('"""Of b."""\n')
    found = list(passages.documented(tmp_path, "pack"))
    assert found == [("pack/a.py", "Of a."), ("pack/a.py", "Of f.")]


def test_means_stand_for_as_many_tokens_as_the_rate_says() -> None:
    pytest.importorskip("torch")
    curve = load("curve")
    for tokens in range(64, 129):
        for case in curve.CURVE[1:]:
            plan = case.plan(tokens, 6)
            if case.depth == "even":
                assert plan.l == 1 or tokens / (plan.p * plan.l) >= case.rate
                assert tokens / (plan.p * (plan.l + 1)) < case.rate
                even = plan.l
            else:
                even = curve.segments(tokens, case.ranks, case.rate)
                assert plan.l[0] == -(-tokens // plan.p)
                assert sum(plan.l[1:]) == 5 * even
                assert list(plan.l[1:]) == sorted(plan.l[1:])


def test_embeddings_of_every_case(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from prism_edge.families import load as load_model

    curve = load("curve")
    model = load_model(
        checkpoints.write(tmp_path / "bert", *checkpoints.bert(max_position_embeddings=128))
    )
    batches = [{"input_ids": torch.randint(5, 50, (2, tokens))} for tokens in (64, 70)]
    exact = curve.embeddings(model, curve.Case(), batches)
    filled = curve.embeddings(model, curve.Case(padded=True), batches)
    torch.testing.assert_close(filled, exact, rtol=0, atol=1e-5)
    for case in (*curve.CURVE[1:], *curve.ABLATIONS):
        found = curve.embeddings(model, case, batches)
        score = curve.measured("cosine_to_exact", found, exact)
        made = curve.row(model, case, [64, 64, 70, 70], [score])
        assert -1 <= made["cosine_to_exact"]["value"] < 1
        assert made["wire_bytes"] > 0


def test_a_figure_and_tables_of_what_was_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("matplotlib")
    curve = load("curve")
    score = {"value": 0.97, "low": 0.96, "high": 0.98}
    lines = []
    for case in (*curve.CURVE, *curve.ABLATIONS):
        row = {
            **{name: getattr(case, name) for name in ("ranks", "rate", "depth", "dtype")},
            "variant": case.variant,
            "padded": case.padded,
            "tokens_per_mean": case.rate + 0.1,
            "between_bytes": 10**5 // case.rate,
            "wire_bytes": 2 * 10**5 // case.rate,
            "n": 500,
            "cosine_to_exact": score,
            "cosine_to_own": score,
        }
        lines.append(
            json.dumps({**row, "worse_than_plain": score} if case.dtype != "fp16" else row)
        )
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    rows, out = str(tmp_path / "rows.jsonl"), tmp_path / "made.png"
    load("plot").main(["--before", rows, "--after", rows, "--out", str(out)])
    assert out.read_bytes().startswith(b"\x89PNG")
    said = capsys.readouterr().out
    assert "4 | even | 32 | 32.1 | 3,125 | 6,250 | 0.9700 (0.9600 to 0.9800)" in said
    assert "plain, int8, even | 25,000" in said
