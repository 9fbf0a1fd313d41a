"""Passages of real English prose that any machine with the development environment holds.

Two lists of different origin: to learn from, the documentation inside installed packages; to test
with, Python's own reference, its standard library, scikit-learn's data sets, and what packages say
of themselves in their descriptions and licences. No sentence is in both, none is twice in either.

python examples/minilm/passages.py --model DIR --out passages/
"""

from __future__ import annotations

import argparse
import ast
import importlib.util
import inspect
import json
import random
import re
import sysconfig
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import metadata
from pathlib import Path

LEARN_FROM = ("torch", "transformers", "scipy", "sympy", "networkx", "pandas", "matplotlib")
SHORTEST, LONGEST = 64, 128  # tokens, those around a text included
AROUND = 2  # [CLS] and [SEP]
LEARN, TEST = 6000, 500

Document = tuple[str, str]  # where it stands, its text

MARKUP = (
    (re.compile(r"\[([^\]]+)\]\([^)\s]*\)"), r"\1"),  # [text](address)
    (re.compile(r":[\w:.+-]+:`~?([^`<]+?)(?:\s*<[^>]*>)?`"), r"\1"),  # :class:`~text`
    (re.compile(r"`+([^`<]+?)(?:\s*<[^>]*>)?`+_*"), r"\1"),  # ``text``, `text <address>`_
    (re.compile(r"(?<!\w)\*{1,2}(\S[^*]*)\*{1,2}"), r"\1"),  # **text**
)
# code, markup, lists, tables, and what is said of parameters
NO_PROSE = re.compile(
    r"^\s*(?:\.\.|[-*+|#=:@>]|\d+[.)]|\[|\w+\s*(?:\([^)]*\))?:\s)|[{}\\|<>=\[\]]|https?:|__|\boptional\b",
    re.MULTILINE,
)
WORD = re.compile(r"(?<![\w'-])[a-z]+(?:['-][a-z]+)*(?![\w'-])", re.IGNORECASE)
END = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"'(])")


def sentences(text: str) -> list[str]:
    """Those of a text's paragraphs that are prose; lists, code, tables and headings are not."""
    found = []
    for paragraph in re.split(r"\n\s*\n", text):
        for pattern, kept in MARKUP:
            paragraph = pattern.sub(kept, paragraph)
        if NO_PROSE.search(paragraph):
            continue
        found += [s for s in END.split(" ".join(paragraph.split())) if is_sentence(s)]
    return found


def is_sentence(text: str) -> bool:
    """It begins and ends like one and is mostly words."""
    pieces = text.split()
    words = WORD.findall(text)
    return (
        len(pieces) >= 6
        and text[0].isupper()
        and text[-1] in ".!?"
        and text.isascii()
        and len(words) >= 0.9 * len(pieces)
    )


def passages(
    documents: Iterable[Document], tokens: Callable[[str], int], seen: set[str], seed: int
) -> list[dict[str, str]]:
    """Of every document, in an order drawn with ``seed``. ``seen``: lower-case sentences that are
    taken already; those of the passages come to them."""
    draw, found = random.Random(seed), []
    for where, text in documents:
        found += [{"text": run, "where": where} for run in runs(text, tokens, seen, draw)]
    draw.shuffle(found)
    return found


def runs(
    text: str, tokens: Callable[[str], int], seen: set[str], draw: random.Random
) -> Iterator[str]:
    """Successive new sentences, SHORTEST to LONGEST tokens together; from how many on a run is
    over is drawn, so that all lengths are there."""
    run: list[str] = []
    length, enough = AROUND, draw.randint(SHORTEST, LONGEST)
    for sentence in sentences(text):
        if sentence.lower() in seen:
            continue
        seen.add(sentence.lower())
        count = tokens(sentence)
        if length + count > LONGEST:
            if length >= SHORTEST:
                yield " ".join(run)
            run, length, enough = [], AROUND, draw.randint(SHORTEST, LONGEST)
        if length + count > LONGEST:
            continue
        run.append(sentence)
        length += count
        if length >= enough:
            yield " ".join(run)
            run, length, enough = [], AROUND, draw.randint(SHORTEST, LONGEST)
    if length >= SHORTEST:
        yield " ".join(run)


def docstrings(source: str) -> Iterator[str]:
    """Those of a module, and of its classes and functions."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # old escapes in others' sources
            tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            text = ast.get_docstring(node)
            if text:
                yield text


def documented(folder: Path, name: str) -> Iterator[Document]:
    """The docstrings of every module under a folder; tests, and what was brought along, aside."""
    for path in sorted(folder.rglob("*.py")):
        inside = path.relative_to(folder)
        if {"tests", "test", "site-packages", "_vendor", "externals"} & set(inside.parts):
            continue
        for text in docstrings(path.read_text(encoding="utf-8", errors="ignore")):
            yield f"{name}/{inside}", text


def to_learn_from() -> Iterator[Document]:
    for name in LEARN_FROM:
        found = importlib.util.find_spec(name)
        if found is None or found.origin is None:
            raise SystemExit(f"{name} is not installed: pip install 'prism-edge[dev]'")
        yield from documented(Path(found.origin).parent, name)


def to_test_with() -> Iterator[Document]:
    topics = importlib.import_module("pydoc_data.topics").topics
    for name, text in sorted(topics.items()):
        yield f"pydoc_data/{name}", inspect.cleandoc(text)
    yield from documented(Path(sysconfig.get_path("stdlib")), "python")
    found = importlib.util.find_spec("sklearn.datasets")
    if found is None or found.origin is None:
        raise SystemExit("scikit-learn is not installed: pip install 'prism-edge[dev]'")
    for path in sorted((Path(found.origin).parent / "descr").glob("*.rst")):
        yield f"sklearn/{path.name}", path.read_text(encoding="utf-8")
    for package in sorted(metadata.distributions(), key=lambda one: one.metadata["Name"].lower()):
        name = package.metadata["Name"]
        if name.lower() in (*LEARN_FROM, "prism-edge"):
            continue
        yield f"{name}/description", package.read_text("METADATA") or ""
        for file in package.files or ():
            if "licen" in file.name.lower() and file.suffix in ("", ".txt", ".md"):
                path = Path(str(file.locate()))
                if path.is_file():
                    yield f"{name}/{file.name}", path.read_text(encoding="utf-8", errors="ignore")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True, help="whose tokenizer counts")
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args(arguments)
    from prism_edge.serve.tokenizer import read_tokenizer

    codec = read_tokenizer(asked.model)
    seen: set[str] = set()
    for name, documents, most in (
        ("test", to_test_with(), TEST),
        ("learn", to_learn_from(), LEARN),
    ):
        found = passages(documents, lambda text: len(codec.encode(text).ids) - AROUND, seen, 0)
        asked.out.mkdir(parents=True, exist_ok=True)
        lines = [json.dumps(passage) + "\n" for passage in found[:most]]
        (asked.out / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
        print(f"{name}: {len(lines)} of {len(found)} passages")


if __name__ == "__main__":
    main()
