"""GLUE's tasks (Wang et al. 2019) as the hub has them (parquet, arrow) and as the .tsv of each.

Texts longer than the model takes are cut short, as in all published scores.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from prism_edge.accuracy.data.rows import Row
from prism_edge.accuracy.data.samples import Samples, Source, class_count, class_numbers
from prism_edge.accuracy.data.splits import split_files, split_rows
from prism_edge.accuracy.data.texts import Text, encoded
from prism_edge.errors import InputError

ENTAILED = ("entailment", "not_entailment")


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """``texts``: the hub's columns; ``tsv``: the .tsv's, by name, or by place where it has no
    header; ``classes``: in the hub's order, none: a real number; ``splits``: the .tsv's names of
    the hub's ones."""

    folder: str
    texts: tuple[str, ...]
    tsv: tuple[str | int, ...]
    tsv_label: str | int
    classes: tuple[str, ...]
    metrics: tuple[str, ...]
    splits: tuple[tuple[str, str], ...] = (("validation", "dev"), ("train", "train"))


PAIR: tuple[str, str] = ("sentence1", "sentence2")
MATCHED = (
    ("validation_matched", "dev_matched"),
    ("validation_mismatched", "dev_mismatched"),
    ("train", "train"),
)
ACCURACY = ("accuracy",)
TASKS = {
    "sst2": Task(
        folder="SST-2",
        texts=("sentence",),
        tsv=("sentence",),
        tsv_label="label",
        classes=("negative", "positive"),
        metrics=ACCURACY,
    ),
    "cola": Task(
        folder="CoLA",
        texts=("sentence",),
        tsv=(3,),
        tsv_label=1,
        classes=("unacceptable", "acceptable"),
        metrics=("matthews",),
    ),
    "mrpc": Task(
        folder="MRPC",
        texts=PAIR,
        tsv=("#1 String", "#2 String"),
        tsv_label="Quality",
        classes=("not_equivalent", "equivalent"),
        metrics=("accuracy", "f1"),
    ),
    "qqp": Task(
        folder="QQP",
        texts=("question1", "question2"),
        tsv=("question1", "question2"),
        tsv_label="is_duplicate",
        classes=("not_duplicate", "duplicate"),
        metrics=("accuracy", "f1"),
    ),
    "stsb": Task(
        folder="STS-B", texts=PAIR, tsv=PAIR, tsv_label="score", classes=(), metrics=("spearman",)
    ),
    "mnli": Task(
        folder="MNLI",
        texts=("premise", "hypothesis"),
        tsv=PAIR,
        tsv_label="gold_label",
        classes=("entailment", "neutral", "contradiction"),
        metrics=ACCURACY,
        splits=MATCHED,
    ),
    "qnli": Task(
        folder="QNLI",
        texts=("question", "sentence"),
        tsv=("question", "sentence"),
        tsv_label="label",
        classes=ENTAILED,
        metrics=ACCURACY,
    ),
    "rte": Task(
        folder="RTE", texts=PAIR, tsv=PAIR, tsv_label="label", classes=ENTAILED, metrics=ACCURACY
    ),
    "wnli": Task(
        folder="WNLI",
        texts=PAIR,
        tsv=PAIR,
        tsv_label="label",
        classes=("not_entailment", "entailment"),
        metrics=ACCURACY,
    ),
}


def finds(path: Path) -> bool:
    return path.is_dir() and _named(path) is not None


def _named(path: Path) -> str | None:
    """The task a folder is called after."""
    names = {name for task in TASKS for name in (task, TASKS[task].folder)}
    found = path.name if path.name in names else None
    return next((n for n, task in TASKS.items() if found in (n, task.folder)), None)


def read(source: Source) -> Samples:
    """A task's validation split, or the one named. Raises ``InputError``."""
    path = source.path
    name = source.parts[0] if source.parts else _named(path)
    if name not in TASKS:
        raise InputError(f"{path}: name the task: glue/TASK:PATH, TASK one of {', '.join(TASKS)}")
    task = TASKS[name]
    splits = dict(task.splits)
    split = replace(source, parts=source.parts[1:]).choose(*splits)
    folder = next((path / n for n in (name, task.folder) if (path / n).is_dir()), path)
    tsv = path if path.suffix == ".tsv" else folder / f"{splits[split]}.tsv"
    if tsv.is_file() and not (folder.is_dir() and split_files(folder, split)):
        rows, texts, label = list(_tsv(tsv, task)), task.tsv, task.tsv_label
        rows = rows[: source.limit]
    else:
        rows = split_rows(folder, split, source.limit)
        texts, label = task.texts, "label"
    numbers = _numbers(source, task)
    found = [
        Text(
            where=where,
            text=_column(where, row, texts[0]),
            pair=_column(where, row, texts[1]) if len(texts) > 1 else None,
            label=_label(where, _column(where, row, label), task, numbers),
        )
        for where, row in rows
    ]
    if numbers == []:
        found = [replace(text, label=None) for text in found]
    samples = encoded(source, f"glue/{name}, {split}", found, cut=True)
    return replace(samples, metrics=task.metrics)


def _numbers(source: Source, task: Task) -> list[int] | None:
    """The model's classes in the task's order; none for a real number; [] when it has none."""
    if class_count(source.model) is None:
        return []
    if task.classes:
        return class_numbers(source.model, task.classes, str(source.path))
    if class_count(source.model) != 1:
        raise InputError(f"{source.path}: {task.folder} needs a model with one output, a score")
    return None


def _tsv(path: Path, task: Task) -> Iterator[Row]:
    """Lines without quoting; those cut short, as QQP has some, are left out."""
    header: list[Any] | None = None
    with path.open(encoding="utf-8-sig", newline="\n") as file:
        for number, line in enumerate(file, 1):
            cells = line.rstrip("\r\n").split("\t")
            if header is None:
                header = cells
                if isinstance(task.tsv_label, str):
                    continue
                header = list(range(len(cells)))
            if len(cells) >= len(header):
                yield f"{path}:{number}", dict(zip(header, cells, strict=False))


def _column(where: str, row: Any, name: str | int) -> Any:
    if row.get(name) is None:
        there = ", ".join(map(str, row))
        raise InputError(f"{where}: column {name!r} is needed, these are there: {there}")
    return row[name]


def _label(where: str, given: object, task: Task, numbers: list[int] | None) -> float:
    """A class's number at the model, or a real number."""
    try:
        if not task.classes:
            return float(given)  # type: ignore[arg-type]
        place = task.classes.index(given) if given in task.classes else int(given)  # type: ignore
        if not 0 <= place < len(task.classes):
            raise ValueError("test splits have no labels; take another split")
        return float(numbers[place]) if numbers else 0.0
    except (TypeError, ValueError) as error:
        raise InputError(f"{where}: label {given!r} is none of {task.folder} ({error})") from error
