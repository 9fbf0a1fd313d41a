"""Data to evaluate on, in the layouts in which they are published. One module a kind.

``KIND:PATH`` names a kind, with parts such as a task or a split behind it (``glue/sst2:PATH``); a
PATH alone is recognised by its name and by what lies there.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from prism_edge.accuracy.data import (
    arrays,
    cbt,
    cifar,
    glue,
    imagenet,
    images,
    texts,
    wikitext,
)
from prism_edge.accuracy.data.samples import Samples, Source
from prism_edge.errors import InputError
from prism_edge.families.model import Model

__all__ = ["KINDS", "Samples", "read_samples"]

SPEC = re.compile(r"(?P<kind>[a-z0-9]+)(?P<parts>(?:/[\w.-]+)*):(?P<path>.+)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Kind:
    """How one kind is told from a path, and read."""

    finds: Callable[[Path], bool]
    read: Callable[[Source], Samples]


# a path alone is the first that finds itself in it
KINDS = {
    "cifar10": Kind(cifar.finds_ten, cifar.read_ten),
    "cifar100": Kind(cifar.finds_hundred, cifar.read_hundred),
    "imagenet": Kind(imagenet.finds, imagenet.read),
    "glue": Kind(glue.finds, glue.read),
    "cbt": Kind(cbt.finds, cbt.read),
    "wikitext": Kind(wikitext.finds, wikitext.read),
    "npz": Kind(arrays.finds, arrays.read),
    "table": Kind(texts.finds, texts.read),
    "images": Kind(images.finds, images.read),
}


def read_samples(
    data: Path | str,
    model: Model,
    *,
    batch: int,
    limit: int | None = None,
    labelled: bool = True,
) -> Samples:
    """The first ``limit`` samples of PATH or KIND:PATH. Where labels are not asked for
    (``labelled``), images may lie in folders of any name.

    Raises ``InputError`` with file and line of what cannot be used.
    """
    kind, path, parts = None, Path(data), ""
    found = SPEC.fullmatch(str(data))
    if found is not None and found["kind"] in KINDS and not path.exists():
        kind, parts, path = KINDS[found["kind"]], found["parts"], Path(found["path"])
    if not path.exists():
        raise InputError(f"{path}: no such file or folder; data are PATH or KIND:PATH, {_known()}")
    kind = kind or next((kind for kind in KINDS.values() if kind.finds(path)), None)
    if kind is None:
        raise InputError(f"{path}: data come as KIND:PATH, {_known()}, or as a path that says it")
    words = tuple(parts.split("/")[1:])
    source = Source(
        path=path, parts=words, model=model, batch=batch, limit=limit, labelled=labelled
    )
    return kind.read(source)


def _known() -> str:
    return f"with KIND one of {', '.join(KINDS)}"
