"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009) as published: the Python and the binary version.

Letters: S samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from prism_edge.accuracy.data.images import pictured
from prism_edge.accuracy.data.inert_pickle import read_pickle
from prism_edge.accuracy.data.samples import Samples, Source, class_numbers
from prism_edge.errors import InputError

Bytes = np.ndarray[Any, np.dtype[np.uint8]]
PIXELS = 3 * 32 * 32
TRAIN = tuple(f"data_batch_{number}" for number in range(1, 6))


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """``labels``: the key of the labels in a pickle; ``lead``: bytes before a binary record's
    pixels, the last of which is the label; ``names``: key and file of the classes' names."""

    splits: dict[str, tuple[str, ...]]
    labels: str
    lead: int
    meta: str
    names: str
    names_file: str


TEN = Layout(
    splits={"test": ("test_batch",), "train": TRAIN},
    labels="labels",
    lead=1,
    meta="batches.meta",
    names="label_names",
    names_file="batches.meta.txt",
)
HUNDRED = Layout(
    splits={"test": ("test",), "train": ("train",)},
    labels="fine_labels",
    lead=2,
    meta="meta",
    names="fine_label_names",
    names_file="fine_label_names.txt",
)


def finds_ten(path: Path) -> bool:
    return any((path / name).is_file() for name in ("test_batch", "test_batch.bin"))


def finds_hundred(path: Path) -> bool:
    meta = (path / "meta").is_file() and (path / "test").is_file()
    return meta or ((path / "test.bin").is_file() and (path / HUNDRED.names_file).is_file())


def read_ten(source: Source) -> Samples:
    return _read(source, TEN)


def read_hundred(source: Source) -> Samples:
    return _read(source, HUNDRED)


def _read(source: Source, layout: Layout) -> Samples:
    """A folder's test split or the one named, or the one file given. Raises ``InputError``."""
    split, path = source.choose(*layout.splits), source.path
    files = [path] if path.is_file() else _files(path, layout.splits[split])
    folder = path.parent if path.is_file() else path
    parts = [_file(file, layout) for file in files]
    pixels = np.concatenate([part[0] for part in parts])[: source.limit]
    labels = np.concatenate([part[1] for part in parts])[: source.limit]
    names = _names(folder, layout)
    numbers = class_numbers(source.model, names, str(path)) if names else None
    if numbers is not None:
        if labels.max() >= len(numbers):
            raise InputError(f"{path}: label {labels.max()}, but it names {len(numbers)} classes")
        labels = np.array(numbers)[labels]
    images = list(pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
    pictures = [np.ascontiguousarray(image) for image in images]
    name = path.name if path.is_file() else f"{path.name}, {split}"
    return pictured(source, name, pictures, labels)


def _files(folder: Path, names: Sequence[str]) -> list[Path]:
    """The Python version's files, else the binary version's."""
    for suffix in ("", ".bin"):
        files = [folder / f"{name}{suffix}" for name in names]
        if all(file.is_file() for file in files):
            return files
    raise InputError(f"{folder}: {', '.join(names)} are needed (or .bin files of these names)")


def _file(path: Path, layout: Layout) -> tuple[Bytes, Bytes]:
    """Pixels and labels of one file.  -> [S,3072], [S]"""
    data = path.read_bytes()
    if path.suffix == ".bin":
        record = layout.lead + PIXELS
        if not data or len(data) % record:
            raise InputError(f"{path}: {len(data)} bytes are no records of {record}; copy it again")
        table = np.frombuffer(data, np.uint8).reshape(-1, record)
        return table[:, layout.lead :], table[:, layout.lead - 1]
    found = read_pickle(data, str(path))
    pixels, labels = found.get("data"), found.get(layout.labels)
    if (
        not isinstance(pixels, np.ndarray)
        or pixels.dtype != np.uint8
        or pixels.shape[1:] != (PIXELS,)
        or not isinstance(labels, list)
        or len(labels) != len(pixels)
        or not all(isinstance(label, int) and 0 <= label < 256 for label in labels)
    ):
        raise InputError(f"{path}: 'data' of {PIXELS} bytes a row and {layout.labels!r} are needed")
    return pixels, np.array(labels, np.uint8)


def _names(folder: Path, layout: Layout) -> list[str]:
    """The classes' names, in order; none where the file is missing."""
    if (folder / layout.meta).is_file():
        where = folder / layout.meta
        names = read_pickle(where.read_bytes(), str(where)).get(layout.names, [])
        return [name.decode("utf-8") for name in names]
    if (folder / layout.names_file).is_file():
        return (folder / layout.names_file).read_text(encoding="utf-8").split()
    return []
