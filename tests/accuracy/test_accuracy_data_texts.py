"""GLUE, CBT, wikitext and tables are read in their published layouts, and score as they should."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import checkpoints
import numpy as np
import pyarrow as pa
import pytest
import torch
from pyarrow import ipc, parquet
from tokenizers import Tokenizer, models, pre_tokenizers
from torch.nn.functional import cross_entropy

from prism_edge.accuracy.data import read_samples
from prism_edge.accuracy.data.cbt import questions
from prism_edge.accuracy.data.glue import TASKS
from prism_edge.accuracy.data.wikitext import windows
from prism_edge.accuracy.evaluate import evaluate, simulated
from prism_edge.errors import InputError
from prism_edge.families import load
from prism_edge.families.model import Model
from prism_edge.plan import LOCAL, Plan

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{n}" for n in range(45))]


def scorer(directory: Path, outputs: int, **changes: Any) -> Model:
    config, weights = checkpoints.bert("BertForSequenceClassification", **changes)
    weights["classifier.weight"] = torch.randn(outputs, 16)
    weights["classifier.bias"] = torch.zeros(outputs)
    checkpoints.write(directory, config, weights)
    (directory / "vocab.txt").write_text("\n".join(WORDS), encoding="utf-8")
    return load(directory)


@pytest.fixture(scope="module")
def scorers(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Model]:
    return {n: scorer(tmp_path_factory.mktemp(f"bert{n}"), n) for n in (1, 2, 3)}


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Model:
    directory = tmp_path_factory.mktemp("gpt2")
    checkpoints.write(directory, *checkpoints.gpt2("GPT2LMHeadModel"))
    words = {word: number for number, word in enumerate(WORDS)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(directory / "tokenizer.json"))
    return load(directory)


# the published header (None: there is none), and a line; columns of the task's in the hub's words
TSV = {
    "sst2": ("sentence\tlabel", "{a}\t{label}"),
    "cola": (None, "gj04\t{label}\t*\t{a}"),
    "mrpc": ("Quality\t#1 ID\t#2 ID\t#1 String\t#2 String", "{label}\t1\t2\t{a}\t{b}"),
    "qqp": ("id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate", "1\t2\t3\t{a}\t{b}\t{label}"),
    "stsb": (
        "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore",
        "0\tg\tf\t2012\t1\ts\ts\t{a}\t{b}\t{label}",
    ),
    "mnli": (
        "index\tpromptID\tpairID\tgenre\tsentence1_binary_parse\tsentence2_binary_parse\t"
        "sentence1_parse\tsentence2_parse\tsentence1\tsentence2\tlabel1\tlabel2\tlabel3\tlabel4\t"
        "label5\tgold_label",
        "0\t1\t2\tg\tp\tp\tp\tp\t{a}\t{b}\tx\tx\tx\tx\tx\t{word}",
    ),
    "qnli": ("index\tquestion\tsentence\tlabel", "0\t{a}\t{b}\t{word}"),
    "rte": ("index\tsentence1\tsentence2\tlabel", "0\t{a}\t{b}\t{word}"),
    "wnli": ("index\tsentence1\tsentence2\tlabel", "0\t{a}\t{b}\t{label}"),
}
METRICS = {
    "cola": {"matthews"},
    "stsb": {"spearman"},
    "mrpc": {"accuracy", "f1"},
    "qqp": {"accuracy", "f1"},
}
PAIRS = [(f'w{n} "w1 w2', f"w3 w{n + 1}") for n in range(6)]  # a quote that is never closed


def write_tsv(folder: Path, name: str, given: list[float]) -> None:
    header, line = TSV[name]
    lines = [] if header is None else [header]
    for (a, b), label in zip(PAIRS, given, strict=True):
        classes = TASKS[name].classes
        word = classes[int(label)] if classes else ""
        lines.append(line.format(a=a, b=b, label=label, word=word))
    if name == "qqp":
        lines.append("7\t8\t9\tw1 cut short")
    split = "dev_matched" if name == "mnli" else "dev"
    (folder / f"{split}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def hub_rows(name: str, given: list[float]) -> pa.Table:
    columns = TASKS[name].texts
    rows = [
        {**dict(zip(columns, pair, strict=False)), "label": label, "idx": n}
        for n, (pair, label) in enumerate(zip(PAIRS, given, strict=True))
    ]
    return pa.Table.from_pylist(rows)


def write_stream(table: pa.Table, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with pa.OSFile(str(path), "wb") as file, ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table)


@pytest.mark.parametrize("name", TASKS)
def test_every_glue_task_is_one_in_tsv_parquet_and_arrow(
    name: str, scorers: dict[int, Model], tmp_path: Path
) -> None:
    classes = len(TASKS[name].classes)
    model = scorers[classes or 1]
    given = [n % classes if classes else 0.8 * n for n in range(6)]
    split = "validation_matched" if name == "mnli" else "validation"
    folder = tmp_path / TASKS[name].folder
    folder.mkdir()
    write_tsv(folder, name, given)
    hub = tmp_path / "hub"
    (hub / name).mkdir(parents=True)
    table = hub_rows(name, given)
    parquet.write_table(table.slice(0, 4), hub / name / f"{split}-00000-of-00002.parquet")
    parquet.write_table(table.slice(4), hub / name / f"{split}-00001-of-00002.parquet")
    write_stream(table, tmp_path / "cache" / f"glue-{split}.arrow")
    write_stream(table, tmp_path / "saved" / split / "data-00000-of-00001.arrow")
    found = [
        read_samples(data, model, batch=4)
        for data in (
            folder,
            *(f"glue/{name}:{tmp_path / place}" for place in ("hub", "cache", "saved")),
        )
    ]
    for samples in found:
        assert samples.labels is not None
        assert samples.labels.tolist() == pytest.approx(given)
        assert samples.name == f"glue/{name}, {split}"
        for mine, first in zip(samples.inputs, found[0].inputs, strict=True):
            assert all(torch.equal(mine[key], first[key]) for key in mine)
    kinds = next(iter(found[0].inputs))["token_type_ids"]
    assert set(kinds.flatten().tolist()) == ({0} if len(TASKS[name].texts) == 1 else {0, 1})
    scores = evaluate(model, [Plan.parse("voltage:p=2")], found[0], lambda *_: None)[0].scores
    against = {score.metric for score in scores if score.metric != "agreement"}
    assert against == METRICS.get(name, {"accuracy"})


def test_glue_goes_by_the_checkpoints_names_and_cuts_what_is_too_long(tmp_path: Path) -> None:
    names = {"CONTRADICTION": 0, "NEUTRAL": 1, "ENTAILMENT": 2}
    model = scorer(tmp_path / "model", 3, label2id=names)
    long = hub_rows("mnli", [0, 1, 2, 0, 1, 2]).to_pylist()
    long[0]["premise"] = "w1 " * 100
    path = tmp_path / "validation_matched-00000-of-00001.parquet"
    parquet.write_table(pa.Table.from_pylist(long), path)
    samples = read_samples(f"glue/mnli:{path}", model, batch=1)
    assert samples.labels is not None
    assert sorted(samples.labels.tolist()) == [0, 0, 1, 1, 2, 2]
    assert max(batch["input_ids"].shape[1] for batch in samples.inputs) == 30
    first = next(batch for batch in samples.inputs if batch["input_ids"].shape[1] == 30)
    assert samples.labels[list(samples.inputs).index(first)] == 2


def test_glue_refuses_by_row(scorers: dict[int, Model], tmp_path: Path) -> None:
    path = tmp_path / "test-00000-of-00001.parquet"
    parquet.write_table(hub_rows("sst2", [-1] * 6), path)
    with pytest.raises(InputError, match=r"parquet, row 0: label -1 .*take another split"):
        read_samples(f"glue/sst2:{path}", scorers[2], batch=4)
    with pytest.raises(InputError, match="name the task"):
        read_samples(f"glue:{path}", scorers[2], batch=4)
    with pytest.raises(InputError, match="column 'premise' is needed"):
        read_samples(f"glue/mnli:{path}", scorers[3], batch=4)
    with pytest.raises(InputError, match=r"2 classes .* knows 3"):
        read_samples(f"glue/sst2:{path}", scorers[3], batch=4)
    with pytest.raises(InputError, match="holds no validation split"):
        read_samples(f"glue/sst2:{tmp_path}", scorers[2], batch=4)
    path.write_bytes(b"PAR1 cut")
    with pytest.raises(InputError, match=r"not \.parquet that can be read"):
        read_samples(path, scorers[2], batch=4)


def test_tables_hold_pairs_and_named_labels(scorers: dict[int, Model], tmp_path: Path) -> None:
    lines = tmp_path / "pairs.jsonl"
    lines.write_text('{"text": "w1 w2", "text_pair": "w3", "label": "LABEL_1"}\n')
    names = {"LABEL_0": 0, "LABEL_1": 1}
    model = scorer(tmp_path / "model", 2, label2id=names)
    samples = read_samples(lines, model, batch=4)
    (batch,) = samples.inputs
    assert batch["input_ids"].tolist() == [[2, 6, 7, 3, 8, 3]]
    assert batch["token_type_ids"].tolist() == [[0, 0, 0, 0, 1, 1]]
    assert samples.labels is not None
    assert samples.labels.tolist() == [1]


STORY = "\n".join(f"{n} w{n} w{n + 1} ." for n in range(1, 5))
CBT = f"{STORY}\n5 w7 XXXXX w8\tw3\t\tw1|w2|w3|w4\n\n{STORY}\n5 XXXXX w9\tw2\t\tw5|w2|w6|w7\n"


def test_cbt_asks_which_text_is_likeliest(gpt2: Model, tmp_path: Path) -> None:
    published = tmp_path / "cbtest_NE_test_2500ep.txt"
    published.write_text(CBT)
    rows = [
        {"sentences": q.story, "question": q.query, "answer": q.answer, "options": q.options}
        for q in questions(CBT.splitlines(), "x")
    ]
    (tmp_path / "hub" / "NE").mkdir(parents=True)
    parquet.write_table(
        pa.Table.from_pylist(rows), tmp_path / "hub" / "NE" / "test-00000-of-00001.parquet"
    )
    found = [
        read_samples(data, gpt2, batch=3)
        for data in (published, f"cbt:{tmp_path}", f"cbt/NE/test:{tmp_path / 'hub'}")
    ]
    for samples in found:
        assert (len(samples), samples.name) == (8, "cbt/NE, test")
        ids = [batch["input_ids"].tolist() for batch in samples.inputs]
        assert ids == [batch["input_ids"].tolist() for batch in found[0].inputs]
    samples = found[0]
    assert samples.questions is not None
    assert samples.scored is not None
    assert samples.labels is not None
    scores = evaluate(gpt2, [Plan.parse("prism:p=2,l=1")], samples, lambda *_: None)
    assert [score.metric for score in scores[0].scores] == ["cloze", "agreement"]
    assert scores[0].scores[0].n == 2
    rows_of_ids = [row for batch in samples.inputs for row in batch["input_ids"]]
    right = 0
    for question in (0, 1):  # the same by hand, whole texts: what is before the gap is equal
        mine = [n for n in range(8) if samples.questions[n] == question]
        assert [int(samples.labels[n]) for n in mine].count(1) == 1
        losses = []
        for n in mine:
            logits = simulated(gpt2, LOCAL, {"input_ids": rows_of_ids[n][None]})["logits"]
            losses.append(float(cross_entropy(logits[0, :-1], rows_of_ids[n][1:], reduction="sum")))
        right += int(samples.labels[mine[int(np.argmin(losses))]])
    assert scores[0].scores[0].value == right / 2


def test_cbt_leaves_out_the_first_sentences_of_a_long_story(gpt2: Model, tmp_path: Path) -> None:
    story = "\n".join(f"{n} w{n} w1 w2 ." for n in range(1, 21))
    path = tmp_path / "cbtest_V_test_2500ep.txt"
    path.write_text(f"{story}\n21 w7 XXXXX\tw3\t\tw1|w3\n")
    (batch,) = read_samples(path, gpt2, batch=4).inputs
    assert batch["input_ids"].shape == (2, 30)  # 7 sentences of 4 tokens, and the query
    assert batch["input_ids"][0, :3].tolist() == [5 + 14, 5 + 1, 5 + 2]
    path.write_text("1 w1 w2\tw3\t\tw1|w3\n")
    with pytest.raises(InputError, match=r"txt:1: the query has no gap"):
        read_samples(path, gpt2, batch=4)
    path.write_text("1 w1 XXXXX\tw3\n")
    with pytest.raises(InputError, match=r"txt:1: query, answer and candidates"):
        read_samples(path, gpt2, batch=4)


def test_every_token_of_a_text_is_scored_once() -> None:
    for count, window, stride in ((100, 30, 15), (31, 30, 15), (30, 30, 7), (5, 30, 3), (64, 8, 7)):
        found = list(windows(count, window, stride))
        scored = [place for _, stop, last in found for place in range(stop - last, stop)]
        assert scored == list(range(1, count))
        assert {stop - start for start, stop, _ in found} == {min(window, count)}


def test_wikitext_is_one_text_in_windows(gpt2: Model, tmp_path: Path) -> None:
    lines = [" \n", " = w1 w2 = \n", " \n", " " + " ".join(f"w{n % 40}" for n in range(70)) + " \n"]
    published, hub = tmp_path / "wikitext-2", tmp_path / "wikitext-2-v1"
    published.mkdir()
    hub.mkdir()
    (published / "wiki.test.tokens").write_text("".join(lines))
    rows = [{"text": "" if line == " \n" else line} for line in lines]
    parquet.write_table(pa.Table.from_pylist(rows), hub / "test-00000-of-00001.parquet")
    ids = [batch["input_ids"].tolist() for batch in read_samples(published, gpt2, batch=2).inputs]
    again = read_samples(hub, gpt2, batch=2)
    assert ids == [batch["input_ids"].tolist() for batch in again.inputs]
    assert again.name == "wikitext-2-v1, test, windows of 30 tokens, stride 15"
    stated = read_samples(f"wikitext/29:{published / 'wiki.test.tokens'}", gpt2, batch=2)
    assert "stride 29" in stated.name
    assert stated.scored is not None
    scores = evaluate(gpt2, [Plan.parse("voltage:p=2")], stated, lambda *_: None)[0].scores
    total = 0.0
    places = iter(stated.scored.tolist())
    for batch in stated.inputs:
        logits = simulated(gpt2, LOCAL, batch)["logits"]
        for row, tokens in zip(logits, batch["input_ids"], strict=True):
            last = next(places)
            total += float(cross_entropy(row[:-1][-last:], tokens[1:][-last:], reduction="sum"))
    assert scores[0].metric == "perplexity"
    assert scores[0].value == pytest.approx(math.exp(total / stated.scored.sum()), rel=1e-5)
    with pytest.raises(InputError, match="a stride of 30; 1 to 29"):
        read_samples(f"wikitext/30:{published}", gpt2, batch=2)


def test_next_tokens_are_needed(scorers: dict[int, Model], tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("w1 w2")
    with pytest.raises(InputError, match="scores next tokens"):
        read_samples(tmp_path / "a.txt", scorers[2], batch=2)
