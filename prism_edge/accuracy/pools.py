"""Samples of one shape side by side, cut into batches in an order that seed and epoch alone give.

So a run that goes on after an interruption needs to know its step, and nothing else, to meet the
same samples. Letters: S samples.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from prism_edge.accuracy.data import Samples
from prism_edge.errors import InputError
from prism_edge.families.model import Tensors

HELD_SHARE, HELD_MOST = 0.1, 512  # of the samples, kept apart to see what training is worth
SPLIT, ORDER = 0, 1  # streams of random numbers; those of training follow


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """``inputs``: a model's arguments, [S,...] each; ``labels`` [S] or None."""

    inputs: Tensors
    labels: Tensor | None

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values())))

    def rows(self, numbers: Sequence[int] | np.ndarray[tuple[int], np.dtype[np.int64]]) -> Pool:
        """Those samples."""
        chosen = torch.as_tensor(numbers)
        return Pool(
            inputs={name: tensor[chosen] for name, tensor in self.inputs.items()},
            labels=None if self.labels is None else self.labels[chosen],
        )


def pooled(samples: Samples) -> list[Pool]:
    """All samples, those of one shape together."""
    parts: dict[tuple[object, ...], list[Pool]] = {}
    start = 0
    labels = None if samples.labels is None else torch.from_numpy(np.asarray(samples.labels))
    for inputs in samples.inputs:
        stop = start + len(next(iter(inputs.values())))
        part = Pool(inputs=inputs, labels=None if labels is None else labels[start:stop])
        shape = tuple((name, t.dtype, t.shape[1:]) for name, t in sorted(inputs.items()))
        parts.setdefault(shape, []).append(part)
        start = stop
    return [
        Pool(
            inputs={
                name: torch.cat([part.inputs[name] for part in same]) for name in same[0].inputs
            },
            labels=None
            if labels is None
            else torch.cat([part.labels for part in same if part.labels is not None]),
        )
        for same in parts.values()
    ]


def split(pools: Sequence[Pool], seed: int) -> tuple[list[Pool], list[Pool]]:
    """Samples to train with and, drawn from all, samples to judge by.

    Raises ``InputError`` when there are too few.
    """
    count = sum(map(len, pools))
    held = min(HELD_MOST, int(count * HELD_SHARE))
    if held < 1:
        raise InputError(f"{count} samples: at least {round(1 / HELD_SHARE)} are needed")
    apart = np.zeros(count, dtype=bool)
    apart[np.random.default_rng([seed, SPLIT]).permutation(count)[:held]] = True
    train, judge, start = [], [], 0
    for pool in pools:
        here = apart[start : start + len(pool)]
        start += len(pool)
        train.append(pool.rows(np.flatnonzero(~here)))
        judge.append(pool.rows(np.flatnonzero(here)))
    return [pool for pool in train if len(pool)], [pool for pool in judge if len(pool)]


def epoch(pools: Sequence[Pool], batch: int, seed: int, number: int) -> list[tuple[int, list[int]]]:
    """The batches of an epoch in order: a pool's place, and the samples of it."""
    source = np.random.default_rng([seed, ORDER, number])
    batches = []
    for place, pool in enumerate(pools):
        order = source.permutation(len(pool)).tolist()
        batches += [(place, order[start : start + batch]) for start in range(0, len(order), batch)]
    return [batches[index] for index in source.permutation(len(batches))]


def checksum(pools: Sequence[Pool]) -> str:
    """Changes with any sample or label."""
    value = 0
    for pool in pools:
        for tensor in [*pool.inputs.values(), *([] if pool.labels is None else [pool.labels])]:
            value = zlib.crc32(tensor.contiguous().numpy().tobytes(), value)
    return f"{value:08x}"
