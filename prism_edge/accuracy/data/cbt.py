"""Children's Book Test (Hill et al. 2016): which of ten words fits the gap in the 21st sentence.

As published (cbtest_NE_test_2500ep.txt) and as the hub has it (parquet, arrow). Every candidate is
put into the gap; the answer is the one whose text from there on is likeliest. Where story and
query are longer than the model takes, the story's first sentences are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from prism_edge.accuracy.data.likelihood import Scored, check_generates, likelihoods
from prism_edge.accuracy.data.samples import Samples, Source
from prism_edge.accuracy.data.splits import split_rows
from prism_edge.errors import InputError
from prism_edge.serve.tokenizer import TextCodec, read_tokenizer

GAP = "XXXXX"
WORDS = ("NE", "CN", "P", "V")  # named entities, common nouns, prepositions, verbs
PUBLISHED = {"test": "test_2500ep", "validation": "valid_2000ep", "train": "train"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A story's sentences, a query with a gap, and what might fill it."""

    where: str
    story: tuple[str, ...]
    query: str
    answer: str
    options: tuple[str, ...]

    def __post_init__(self) -> None:
        if GAP not in self.query:
            raise InputError(f"{self.where}: the query has no gap {GAP}: {self.query!r}")
        if self.answer not in self.options:
            raise InputError(f"{self.where}: {self.answer!r} is none of {', '.join(self.options)}")


def finds(path: Path) -> bool:
    inside = path.glob("cbtest_*.txt") if path.is_dir() else [path]
    return any(file.name.startswith("cbtest_") and file.suffix == ".txt" for file in inside)


def read(source: Source) -> Samples:
    """Questions on named entities, or on the kind of words named. Raises ``InputError``."""
    check_generates(source)
    words = [part for part in source.parts if part in WORDS] or ["NE"]
    rest = tuple(part for part in source.parts if part not in WORDS)
    split, path = replace(source, parts=rest).choose(*PUBLISHED), source.path
    named = f"cbtest_{words[0]}_{PUBLISHED[split]}.txt"
    published = path if path.suffix == ".txt" else path / named
    if published.is_file():
        lines = published.read_text(encoding="utf-8").splitlines()
        found = list(islice(questions(lines, str(published)), source.limit))
    else:
        folder = path / words[0] if (path / words[0]).is_dir() else path
        found = [
            Question(
                where=where,
                story=tuple(row["sentences"]),
                query=row["question"],
                answer=row["answer"],
                options=tuple(row["options"]),
            )
            for where, row in split_rows(folder, split, source.limit)
        ]
    if not found:
        raise InputError(f"{path}: holds no question")
    codec, rows = read_tokenizer(source.model.directory), []
    for number, question in enumerate(found):
        rows += _rows(question, number, codec, source.model.shape.tokens)
    return likelihoods(source, f"cbt/{words[0]}, {split}", rows, asked=True)


def questions(lines: Sequence[str], where: str) -> Iterator[Question]:
    """Of a published file: sentences with their numbers, the last with a tab before its answer."""
    story: list[str] = []
    for place, line in enumerate(lines, 1):
        if not line.strip():
            story = []
            continue
        _, _, text = line.partition(" ")
        if "\t" not in text:
            story.append(text)
            continue
        cells = [cell for cell in text.split("\t") if cell]
        if len(cells) != 3:
            raise InputError(f"{where}:{place}: query, answer and candidates are needed")
        query, answer, options = cells
        yield Question(
            where=f"{where}:{place}",
            story=tuple(story),
            query=query,
            answer=answer,
            options=tuple(options.split("|")),
        )


def _rows(question: Question, number: int, codec: TextCodec, most: int) -> list[Scored]:
    """A row for every candidate; what comes before the gap is the same in all of them."""
    for first in range(len(question.story) + 1):
        story = " ".join((*question.story[first:], ""))
        texts = [story + question.query.replace(GAP, option) for option in question.options]
        ids = [codec.encode(text).ids for text in texts]
        if max(map(len, ids)) <= most:
            break
    else:
        raise InputError(f"{question.where}: the query alone is longer than {most} tokens")
    shared = next(
        (k for k, tokens in enumerate(zip(*ids, strict=False)) if len(set(tokens)) > 1),
        min(map(len, ids)) - 1,
    )
    shared = max(shared, 1)
    return [
        (row, len(row) - shared, number, int(option == question.answer))
        for row, option in zip(ids, question.options, strict=True)
    ]
