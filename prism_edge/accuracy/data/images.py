"""Images as a model takes them, a batch at a time, and a folder of them with a folder a class."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from prism_edge.accuracy.data.samples import Labels, Samples, Source, class_numbers
from prism_edge.errors import InputError
from prism_edge.families.model import Model, Tensors
from prism_edge.serve.pictures import pixels, prepared, read_preparation

SUFFIXES = (".jpg", ".jpeg", ".png")
# a file, its bytes, or its pixels [H,W,3]
Picture = Path | bytes | npt.NDArray[np.uint8]


class Pictures:
    """Batches of pixels, made when they are asked for: a data set may be larger than memory."""

    def __init__(self, name: str, model: Model, pictures: Sequence[Picture], batch: int) -> None:
        self._name, self._pictures, self._batch = name, pictures, batch
        self._input = model.inputs[0].name
        self._wanted = read_preparation(model.directory, model.inputs[0].shape)

    def __len__(self) -> int:
        return -(-len(self._pictures) // self._batch)

    def __iter__(self) -> Iterator[Tensors]:
        return (self[number] for number in range(len(self)))

    def __getitem__(self, number: int) -> Tensors:
        if not 0 <= number < len(self):
            raise IndexError(number)
        start = number * self._batch
        some = self._pictures[start : start + self._batch]
        rows = [self._pixels(picture, start + k) for k, picture in enumerate(some)]
        return {self._input: torch.from_numpy(np.stack(rows))}

    def _pixels(self, picture: Picture, number: int) -> npt.NDArray[np.uint8]:
        if isinstance(picture, np.ndarray):
            return prepared(Image.fromarray(picture), self._wanted)
        where = picture if isinstance(picture, Path) else f"{self._name}, sample {number}"
        try:
            data = picture.read_bytes() if isinstance(picture, Path) else picture
            return np.asarray(pixels([data], self._wanted)[0])
        except (InputError, OSError) as error:
            raise InputError(f"{where}: {error}") from error


def pictured(
    source: Source, name: str, pictures: Sequence[Picture], labels: Labels | None
) -> Samples:
    """Pictures and their labels as samples. Raises ``InputError`` where there are none."""
    if not pictures:
        raise InputError(f"{source.path}: holds no images ({', '.join(SUFFIXES)})")
    return Samples(
        name=name,
        count=len(pictures),
        inputs=Pictures(name, source.model, pictures, source.batch),
        labels=labels,
    )


def finds(path: Path) -> bool:
    return path.is_dir()


def read(source: Source) -> Samples:
    """Every class's first images in turn, so that a limit takes some of each."""
    path = source.path
    files = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES)
    labels = None
    if files and all(file.parent != path for file in files):
        names = sorted({file.parent.name for file in files})
        numbers = class_numbers(source.model, names, str(path)) if source.labelled else None
        files = in_turn(files)[: source.limit]
        if numbers is not None:
            by_name = dict(zip(names, numbers, strict=True))
            labels = np.array([by_name[file.parent.name] for file in files])
    return pictured(source, path.name, files[: source.limit], labels)


def in_turn(files: Sequence[Path]) -> list[Path]:
    """The first file of every folder, then the second of every folder, and so on."""
    seen: dict[Path, int] = {}
    placed = []
    for file in files:
        seen[file.parent] = seen.get(file.parent, -1) + 1
        placed.append((seen[file.parent], file))
    return [file for _, file in sorted(placed)]
