"""Texts and pairs of texts as a model takes them: a batch holds texts of one length, no padding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from prism_edge.accuracy.data.images import pictured
from prism_edge.accuracy.data.rows import SUFFIXES, Row, read_rows
from prism_edge.accuracy.data.samples import Labels, Samples, Source, checkpoint_classes
from prism_edge.errors import InputError
from prism_edge.families.model import Model, Tensors
from prism_edge.serve.tokenizer import read_tokenizer

TEXTS, PAIR, LABEL = ("text", "sentence"), "text_pair", "label"
IMAGES, CLASSES = ("image", "img"), (LABEL, "labels", "fine_label")  # as the hub names them


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A text or a pair, its label, and where it stands."""

    where: str
    text: str
    pair: str | None
    label: float | None


def finds(path: Path) -> bool:
    return path.suffix in SUFFIXES


def read(source: Source) -> Samples:
    """Rows with a text, perhaps a second one, perhaps a label; or with an image.

    Raises ``InputError``.
    """
    rows = read_rows(source.path, source.limit)
    if rows and any(name in rows[0][1] for name in IMAGES):
        return _images(source, rows)
    classes = checkpoint_classes(source.model)
    texts = []
    for where, row in rows:
        text = next((row[name] for name in TEXTS if name in row), None)
        if not isinstance(text, str) or not text.strip():
            raise InputError(f"{where}: a text under {' or '.join(map(repr, TEXTS))} is needed")
        pair = row.get(PAIR)
        if pair is not None and not isinstance(pair, str):
            raise InputError(f"{where}: {PAIR!r} must be a text")
        label = number(where, row.get(LABEL), classes)
        texts.append(Text(where=where, text=text, pair=pair, label=label))
    return encoded(source, source.path.name, texts)


def encoded(source: Source, name: str, texts: Sequence[Text], *, cut: bool = False) -> Samples:
    """The texts by length, in batches. ``cut``: what is longer than the model takes is cut short,
    the longer one of a pair first; else it is refused."""
    if not texts:
        raise InputError(f"{source.path}: holds no text")
    codec, most = read_tokenizer(source.model.directory), source.model.shape.tokens
    if cut:
        codec.cut_at(most)
    by_length: dict[int, list[tuple[list[int], list[int], float | None]]] = {}
    for text in texts:
        found = codec.encode(text.text, text.pair)
        if not 1 < len(found.ids) <= most:
            raise InputError(
                f"{text.where}: {len(found.ids)} tokens, the model takes 2 to {most}; leave it out"
            )
        by_length.setdefault(len(found.ids), []).append((found.ids, found.kinds, text.label))
    inputs = []
    for rows in by_length.values():
        for start in range(0, len(rows), source.batch):
            some = rows[start : start + source.batch]
            inputs.append(arguments(source.model, [row[0] for row in some], [r[1] for r in some]))
    labels = [label for rows in by_length.values() for _, _, label in rows]
    return Samples(
        name=name, count=len(texts), inputs=tuple(inputs), labels=_labels(source, labels)
    )


def arguments(model: Model, ids: list[list[int]], kinds: list[list[int]]) -> Tensors:
    """Token ids of texts of one length as the model's arguments."""
    found = {"input_ids": torch.tensor(ids)}
    if any(spec.name == "token_type_ids" for spec in model.inputs):
        found["token_type_ids"] = torch.tensor(kinds)
    return found


def number(where: str, label: object, classes: dict[str, int]) -> float | None:
    """A label that is a number or one of the checkpoint's names."""
    if label is None or label == "":
        return None
    try:
        return float(classes.get(str(label).lower(), label))  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{where}: label {label!r}: labels must be numbers, or names from label2id in the "
            f"model's config.json"
        ) from error


def _labels(source: Source, given: Sequence[float | None]) -> Labels | None:
    """Whole numbers where all of them are, else real ones; None where nobody has one."""
    if all(label is None for label in given):
        return None
    if any(label is None for label in given):
        raise InputError(f"{source.path}: give a label on every row or on none")
    values = np.array(given, dtype=float)
    whole = values.astype(np.int64)
    return whole if (whole == values).all() else values


def _images(source: Source, rows: Sequence[Row]) -> Samples:
    """As the hub holds images: {bytes, path} in a column, a class's number in another."""
    pictures, labels = [], []
    for where, row in rows:
        held = next(row[name] for name in IMAGES if name in row)
        if not isinstance(held, dict) or not isinstance(held.get("bytes"), bytes):
            raise InputError(f"{where}: an image's bytes are needed; it holds only a path")
        pictures.append(held["bytes"])
        label = next((row[name] for name in CLASSES if name in row), None)
        labels.append(number(where, label, checkpoint_classes(source.model)))
    return pictured(source, source.path.name, pictures, _labels(source, labels))
