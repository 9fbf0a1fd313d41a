"""Data to evaluate on, in batches as a model takes them, with labels where there are any.

A batch of texts holds texts of one length: padding is part of nobody's answer. Letters: S samples.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from prism_edge.errors import InputError
from prism_edge.families.model import Model, Tensors
from prism_edge.serve.pictures import pixels, read_preparation
from prism_edge.serve.tokenizer import read_tokenizer

LABELS = "labels"
TEXTS, LABEL = ("text", "sentence"), "label"
TABLES = {".csv": ",", ".tsv": "\t"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """What one file or folder holds. ``inputs``: a model's arguments, one mapping a batch;
    ``labels`` [S]: in the same order, or None."""

    name: str
    inputs: tuple[Tensors, ...]
    labels: np.ndarray[Any, Any] | None

    def __len__(self) -> int:
        return sum(len(next(iter(batch.values()))) for batch in self.inputs)


def read_samples(path: Path, model: Model, *, batch: int, limit: int | None = None) -> Samples:
    """The first ``limit`` samples of an .npz whose keys are the model's arguments (and ``labels``),
    of a .jsonl, .csv or .tsv of texts, or of a folder of images with one folder a class.

    Raises ``InputError`` with file and line of what cannot be used.
    """
    if path.is_dir():
        return _images(path, model, batch, limit)
    if not path.is_file():
        raise InputError(f"{path}: no such file or folder")
    if path.suffix == ".npz":
        return _arrays(path, batch, limit)
    if path.suffix == ".jsonl" or path.suffix in TABLES:
        return _texts(path, model, batch, limit)
    raise InputError(
        f"{path}: data come as .npz, .jsonl, .csv, .tsv, or a folder of images; convert it"
    )


def _arrays(path: Path, batch: int, limit: int | None) -> Samples:
    try:
        with np.load(path, allow_pickle=False) as held:
            arrays = {name: held[name][:limit] for name in held.files}
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path}: not an .npz of plain arrays ({error})") from error
    labels = arrays.pop(LABELS, None)
    counts = {name: len(array) for name, array in arrays.items()}
    if labels is not None:
        counts[LABELS] = len(labels)
    if not arrays or len(set(counts.values())) != 1 or not next(iter(counts.values())):
        raise InputError(f"{path}: arrays of one length are needed, these are there: {counts}")
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    return Samples(
        name=path.name,
        inputs=tuple(
            {name: tensor[start : start + batch] for name, tensor in tensors.items()}
            for start in range(0, next(iter(counts.values())), batch)
        ),
        labels=labels,
    )


def _images(path: Path, model: Model, batch: int, limit: int | None) -> Samples:
    known = set(Image.registered_extensions())
    files = sorted(file for file in path.rglob("*") if file.suffix.lower() in known)
    if not files:
        raise InputError(f"{path}: holds no images")
    names = sorted({file.parent.name for file in files if file.parent != path})
    labelled = bool(names) and all(file.parent != path for file in files)
    numbers = _numbers(path, model, names) if labelled else {}
    if limit is not None and labelled:  # some of every class, not all of the first
        files = sorted(files, key=lambda file: (_place(file), file))
    files = files[:limit]
    spec = model.inputs[0]
    wanted = read_preparation(model.directory, spec.shape)
    inputs = []
    for start in range(0, len(files), batch):
        some = [file.read_bytes() for file in files[start : start + batch]]
        inputs.append({spec.name: torch.from_numpy(pixels(some, wanted))})
    return Samples(
        name=path.name,
        inputs=tuple(inputs),
        labels=np.array([numbers[file.parent.name] for file in files]) if labelled else None,
    )


def _place(file: Path) -> int:
    """Which of its folder's files it is."""
    return sorted(file.parent.iterdir()).index(file)


def _numbers(path: Path, model: Model, names: Sequence[str]) -> dict[str, int]:
    """The classes of folders: by the checkpoint's own names, else by their order."""
    config = json.loads((model.directory / "config.json").read_text(encoding="utf-8"))
    known = {str(name): int(number) for name, number in (config.get("label2id") or {}).items()}
    if set(names) <= set(known):
        return {name: known[name] for name in names}
    classes = model.shape.output_fixed
    if len(names) != classes:
        raise InputError(
            f"{path}: {len(names)} folders ({', '.join(names[:4])}, ...), but the model knows "
            f"{classes} classes by other names; name the folders as label2id in config.json does"
        )
    return {name: number for number, name in enumerate(names)}


def _texts(path: Path, model: Model, batch: int, limit: int | None) -> Samples:
    codec, most = read_tokenizer(model.directory), model.shape.tokens
    takes = {spec.name for spec in model.inputs}
    by_length: dict[int, list[tuple[Tensors, object]]] = {}
    lines = _lines(path)[:limit]
    if not lines:
        raise InputError(f"{path}: holds no text")
    for where, line in lines:
        text = next((line[name] for name in TEXTS if name in line), None)
        if not isinstance(text, str) or not text.strip():
            raise InputError(f"{where}: a text under {' or '.join(map(repr, TEXTS))} is needed")
        encoded = codec.encode(text)
        if not 1 < len(encoded.ids) <= most:
            raise InputError(
                f"{where}: {len(encoded.ids)} tokens, the model takes 2 to {most}; leave it out"
            )
        row = {"input_ids": torch.tensor([encoded.ids])}
        if "token_type_ids" in takes:
            row["token_type_ids"] = torch.tensor([encoded.kinds])
        by_length.setdefault(len(encoded.ids), []).append((row, line.get(LABEL)))
    inputs, labels = [], []
    for rows in by_length.values():
        for start in range(0, len(rows), batch):
            some = rows[start : start + batch]
            inputs.append({name: torch.cat([row[name] for row, _ in some]) for name in some[0][0]})
            labels += [label for _, label in some]
    return Samples(name=path.name, inputs=tuple(inputs), labels=_labels(path, labels))


def _lines(path: Path) -> list[tuple[str, Mapping[str, Any]]]:
    """Every line as a mapping, and where it stands."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            if path.suffix in TABLES:
                rows = csv.DictReader(file, delimiter=TABLES[path.suffix])
                return [(f"{path}:{rows.line_num}", row) for row in rows]
            found = []
            for number, line in enumerate(file, 1):
                if line.strip():
                    found.append((f"{path}:{number}", json.loads(line)))
                    if not isinstance(found[-1][1], dict):
                        raise InputError(f"{path}:{number}: a JSON object is needed")
            return found
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read ({error})") from error


def _labels(path: Path, given: Sequence[object]) -> np.ndarray[Any, Any] | None:
    """Whole numbers where all of them are, else real ones; None where nobody has one."""
    if all(label is None for label in given):
        return None
    try:
        values = np.array([float(label) for label in given])  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: labels must be numbers, on every line or on none") from error
    whole = values.astype(np.int64)
    return whole if (whole == values).all() else values
