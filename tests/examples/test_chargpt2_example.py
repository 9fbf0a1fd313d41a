"""The character example's texts share no file, and its model directory is read like any GPT-2's."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip("torch")
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from prism_edge.accuracy.data import read_samples
from prism_edge.accuracy.evaluate import evaluate
from prism_edge.families import load
from prism_edge.plan import LOCAL, Plan
from prism_edge.serve.tokenizer import read_tokenizer

EXAMPLE = Path(__file__).parents[2] / "examples" / "chargpt2"


@pytest.fixture
def sources(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(EXAMPLE)
    return importlib.import_module("sources")


@pytest.fixture
def generations(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(EXAMPLE)
    return importlib.import_module("generations")


@pytest.fixture
def plot(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    pytest.importorskip("matplotlib")
    monkeypatch.syspath_prepend(EXAMPLE)
    return importlib.import_module("plot")


def library(root: Path, names: list[str]) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# {name}\n" + "x = 1\n" * 400, encoding="utf-8")
    return root


def test_a_file_is_in_one_part_and_other_files_do_not_move_it(
    tmp_path: Path, sources: ModuleType
) -> None:
    names = [f"m{number}.py" for number in range(60)]
    some = sources.split([name for name, _ in sources.files(library(tmp_path, names))])
    assert sorted(name for part in some for name in part) == sorted(names)
    assert all(some)
    more = [f"package/n{number}.py" for number in range(60)]
    both = sources.split([name for name, _ in sources.files(library(tmp_path, more))])
    for before, after in zip(some, both, strict=True):
        assert [name for name in after if name in names] == before


def test_tests_and_tables_are_left_out(tmp_path: Path, sources: ModuleType) -> None:
    library(tmp_path, ["a.py", "test/b.py", "json/tests/c.py", "encodings/d.py", "json/e.py"])
    assert sorted(name for name, _ in sources.files(tmp_path)) == ["a.py", "json/e.py"]


def test_texts_are_whole_files_or_their_middles(tmp_path: Path, sources: ModuleType) -> None:
    library(tmp_path, [f"m{number}.py" for number in range(60)])
    train, held, test = sources.texts(tmp_path)
    assert train.count("# m") + (len(held) + len(test)) // sources.PASSAGE == 60
    assert "#" not in held + test
    assert list(sources.passages(["short", "a" * 10 + "b" * sources.PASSAGE + "c" * 10])) == [
        "b" * sources.PASSAGE
    ]


def test_characters_come_back_and_others_are_known_as_unknown(
    tmp_path: Path, sources: ModuleType
) -> None:
    sources.tokenizer().save(str(tmp_path / "tokenizer.json"))
    codec = read_tokenizer(tmp_path)
    text = "def f(x):\n\treturn  'a b'  # \\n ~\r\n"
    assert codec.decode(codec.encode(text).ids) == text.replace("\r", sources.UNKNOWN)
    assert len(codec.encode("naïve — 中文").ids) == 10
    assert codec.decode(codec.encode("naïve").ids) == "na\ufffdve"


@pytest.fixture
def tiny(tmp_path: Path, sources: ModuleType) -> Path:
    """An untrained model of these characters."""
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=len(sources.CHARACTERS),
        n_positions=256,
        n_embd=16,
        n_layer=2,
        n_head=2,
        bos_token_id=None,
        eos_token_id=None,
    )
    GPT2LMHeadModel(config).save_pretrained(tmp_path / "tiny")
    sources.tokenizer().save(str(tmp_path / "tiny" / "tokenizer.json"))
    return tmp_path / "tiny"


def test_the_directory_is_evaluated_like_any_gpt2(
    tmp_path: Path, tiny: Path, sources: ModuleType
) -> None:
    text = "".join(sources.passages([(EXAMPLE / "sources.py").read_text(encoding="utf-8")]))
    (tmp_path / "test.txt").write_text(text, encoding="utf-8")
    model = load(tiny)
    samples = read_samples(f"wikitext/128:{tmp_path / 'test.txt'}", model, batch=4, limit=4)
    found = evaluate(model, [Plan.parse("prism:p=2,l=4")], samples, lambda *_: None)
    values = {str(each.plan): each.scores[0] for each in found}
    assert values["local"].metric == "perplexity"
    assert 50 < values["local"].value < 200  # of 98 characters, knowing nothing
    assert values["local"].value != values["prism:p=2,l=4,dtype=fp32"].value


def test_answers_after_an_exact_prefill_are_the_exact_ones(
    tiny: Path, generations: ModuleType
) -> None:
    model = load(tiny)
    asked = generations.prompts(list(range(98)) * 10, 3)
    exact = generations.answers(model, LOCAL, asked)
    assert exact.shape == (3, generations.ANSWER)
    whole = generations.answers(model, Plan.parse("voltage:p=2"), asked)
    assert [score.value for score in generations.compared(whole, exact)] == [1, 1, 64]
    other = exact.clone()
    other[0, 5:] += 1
    assert [score.value for score in generations.compared(other, exact)] == pytest.approx(
        [1, 2 / 3, (5 + 64 + 64) / 3]
    )


def test_the_plot_counts_the_bytes_between_blocks(plot: ModuleType) -> None:
    rows, width, exchanges = 16, 128, 5
    sent = plot.between_blocks(Plan.parse("prism:p=2,l=16,dtype=fp16"))
    assert sent == exchanges * rows * width * 2
    codes = plot.between_blocks(Plan.parse("astra:p=2,g=4"))
    assert codes == exchanges * 128 * 4 * 10 // 8
