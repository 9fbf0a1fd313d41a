"""What data become: batches as a model takes them, with labels and what is to be scored.

Letters: S samples.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from prism_edge.errors import InputError
from prism_edge.families.model import Model, Tensors

Labels = np.ndarray[Any, Any]


class Batches(Protocol):
    """A tuple of batches, or what makes each when it is asked for."""

    def __len__(self) -> int: ...
    def __getitem__(self, number: int, /) -> Tensors: ...
    def __iter__(self) -> Iterator[Tensors]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """What one file or folder holds. ``inputs``: a model's arguments, one mapping a batch;
    ``labels`` [S]: in the same order, or None. ``metrics``: which of those with labels are the
    task's, None: all. ``scored`` [S]: how many tokens at each text's end count, None: all.
    ``questions`` [S]: which question each text answers; its label is 1 for the right one."""

    name: str
    count: int
    inputs: Batches
    labels: Labels | None = None
    metrics: tuple[str, ...] | None = None
    scored: Labels | None = None
    questions: Labels | None = None

    def __len__(self) -> int:
        return self.count


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What is to be read, for which model. ``parts``: words behind the kind's name, such as a
    task or a split; ``limit``: samples at most; ``labelled``: folders of images are classes."""

    path: Path
    parts: tuple[str, ...]
    model: Model
    batch: int
    limit: int | None
    labelled: bool

    def choose(self, *known: str) -> str:
        """The one of ``known`` among the parts, else the first.

        For kinds with no other parts: raises ``InputError`` for a part that is none of them.
        """
        if wrong := [part for part in self.parts if part not in known]:
            raise InputError(f"{self.path}: {wrong[0]!r} is none of {', '.join(known)}")
        return self.parts[0] if self.parts else known[0]


def class_count(model: Model) -> int | None:
    """How many classes the model scores an input for; None when it does not."""
    shapes = [spec.shape for spec in model.outputs if spec.name == "logits"]
    return shapes[0][-1] if shapes and len(shapes[0]) == 2 else None


def class_numbers(model: Model, names: Sequence[str], where: str) -> list[int] | None:
    """The model's numbers of classes: by the checkpoint's own names, else by their order.

    None when it knows no classes. Raises ``InputError`` when it has another number of them.
    """
    classes = class_count(model)
    if classes is None:
        return None
    known = checkpoint_classes(model)
    if all(name.lower() in known for name in names):
        return [known[name.lower()] for name in names]
    if len(names) != classes:
        raise InputError(
            f"{where}: {len(names)} classes ({', '.join(names[:4])}, ...), but the model knows "
            f"{classes} classes by other names; name them as label2id in its config.json does"
        )
    return list(range(classes))


def checkpoint_classes(model: Model) -> dict[str, int]:
    """Numbers by lower-case name, from config.json."""
    config = json.loads((model.directory / "config.json").read_text(encoding="utf-8"))
    found: Mapping[str, Any] = config.get("label2id") or {}
    return {str(name).lower(): int(number) for name, number in found.items()}
