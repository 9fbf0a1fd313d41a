"""Rows of token ids whose last tokens are scored, in batches of one length."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from prism_edge.accuracy.data.samples import Samples, Source
from prism_edge.accuracy.data.texts import arguments
from prism_edge.errors import InputError

# (ids, how many at the end are scored, question, 1 for the right answer)
Scored = tuple[list[int], int, int, int]


def check_generates(source: Source) -> None:
    """Raises ``InputError`` for a model that does not score the next token."""
    shape, outputs = source.model.shape, {spec.name for spec in source.model.outputs}
    if not shape.causal or "logits" not in outputs:
        raise InputError(f"{source.path}: needs a model that scores next tokens, such as GPT-2")


def likelihoods(source: Source, name: str, rows: Sequence[Scored], *, asked: bool) -> Samples:
    """The rows as samples. ``asked``: they answer questions."""
    by_length: dict[int, list[Scored]] = {}
    for row in rows:
        by_length.setdefault(len(row[0]), []).append(row)
    ordered = [row for same in by_length.values() for row in same]
    inputs = [
        arguments(source.model, [row[0] for row in same[start : start + source.batch]], [])
        for same in by_length.values()
        for start in range(0, len(same), source.batch)
    ]
    return Samples(
        name=name,
        count=len(ordered),
        inputs=tuple(inputs),
        labels=np.array([row[3] for row in ordered]) if asked else None,
        scored=np.array([row[1] for row in ordered]),
        questions=np.array([row[2] for row in ordered]) if asked else None,
    )
