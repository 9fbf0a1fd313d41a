"""One long text, such as WikiText (Merity et al. 2016), in windows of all tokens a model takes.

Each window lies a stride behind the one before it, half a window unless stated, and only its last
tokens, those no window before it scored, count: every token but the first is scored once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from prism_edge.accuracy.data.likelihood import check_generates, likelihoods
from prism_edge.accuracy.data.samples import Samples, Source
from prism_edge.accuracy.data.splits import split_files, split_rows
from prism_edge.errors import InputError
from prism_edge.serve.tokenizer import read_tokenizer

SUFFIXES = (".tokens", ".raw", ".txt")
SPLITS = {"test": "test", "validation": "valid", "train": "train"}


def finds(path: Path) -> bool:
    if path.is_dir():
        named = path.name.startswith("wikitext") and bool(split_files(path, "test"))
        return named or _published(path, "test") is not None
    return path.suffix in SUFFIXES


def read(source: Source) -> Samples:
    """The test split, or another; a number among the parts is the stride in tokens."""
    check_generates(source)
    path, window = source.path, source.model.shape.tokens
    strides = [int(part) for part in source.parts if part.isdecimal()]
    rest = tuple(part for part in source.parts if not part.isdecimal())
    split = replace(source, parts=rest).choose(*SPLITS)
    stride = strides[0] if strides else window // 2
    if not 0 < stride < window:
        raise InputError(f"{path}: a stride of {stride}; 1 to {window - 1} tokens are possible")
    text = _text(path, split)
    ids = read_tokenizer(source.model.directory).encode(text).ids
    if len(ids) < 2:
        raise InputError(f"{path}: holds no text")
    rows = [
        (ids[start:stop], scored, 0, 0) for start, stop, scored in windows(len(ids), window, stride)
    ][: source.limit]
    name = path.name if path.is_file() else f"{path.name}, {split}"
    name = f"{name}, windows of {min(window, len(ids))} tokens, stride {stride}"
    return likelihoods(source, name, rows, asked=False)


def windows(count: int, window: int, stride: int) -> Iterator[tuple[int, int, int]]:
    """Start, end, and how many tokens at the end are scored, of every window of a text."""
    stop = min(window, count)
    yield 0, stop, stop - 1
    while stop < count:
        last, stop = stop, min(stop + stride, count)
        yield stop - window, stop, stop - last


def _published(folder: Path, split: str) -> Path | None:
    found = [folder / f"wiki.{SPLITS[split]}{suffix}" for suffix in SUFFIXES]
    return next((file for file in found if file.is_file()), None)


def _text(path: Path, split: str) -> str:
    """As in the published file; the hub has a row for each line, and an empty one for `` \\n``."""
    file = path if path.suffix in SUFFIXES else _published(path, split)
    try:
        if file is not None:
            return file.read_text(encoding="utf-8")
        return "".join(row["text"] or " \n" for _, row in split_rows(path, split))
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: not UTF-8 ({error})") from error
    except (KeyError, TypeError) as error:
        raise InputError(f"{path}: texts under 'text' are needed") from error
