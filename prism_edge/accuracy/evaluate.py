"""A model's answers under every plan, held against the exact model's and against labels.

All plans see the same batches. Letters: S samples, B of a batch, N tokens, C classes, D width.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from prism_edge.accuracy.data.samples import Labels, Samples
from prism_edge.accuracy.scores import (
    Metric,
    Score,
    agreement,
    classification,
    cloze,
    cosine,
    language,
    regression,
)
from prism_edge.errors import InputError, PlanError
from prism_edge.exchange import exchange_of
from prism_edge.families.model import Model, Tensors
from prism_edge.layout import check_fits
from prism_edge.plan import LOCAL, Plan
from prism_edge.schedule.accuracy import approximating
from prism_edge.simulate import simulate
from prism_edge.traffic import wire_bytes

Arrays = dict[str, np.ndarray[Any, Any]]
# the outputs of one batch under a plan, by whoever computes them
Answer = Callable[[Plan, Tensors], Tensors]
Tell = Callable[[str, float, float], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated:
    """What a plan scores. ``wire_bytes``: that boards send for a request of one sample, the median
    over lengths."""

    plan: Plan
    scores: tuple[Score, ...]
    wire_bytes: float

    @property
    def finite(self) -> bool:
        """Whether every score and its interval are numbers; fp16 overflows."""
        said = [end for score in self.scores for end in (score.value, score.low, score.high)]
        return all(math.isfinite(number) for number in said if number is not None)


def evaluate(
    model: Model,
    plans: Sequence[Plan],
    samples: Samples,
    tell: Tell,
    answer: Answer | None = None,
    reference: Model | None = None,
) -> list[Evaluated]:
    """The scores of local and every plan, of a hybrid those of the part that approximates.

    ``answer``: other than a simulation in this process. ``reference``: whose answers are the exact
    ones; None: the model's own. Raises ``InputError`` and ``PlanError`` naming what does not fit.
    """
    asked = list(dict.fromkeys((LOCAL, *plans)))
    count = len(samples.inputs)
    tokens = _tokens(model, samples)
    for plan in asked:
        _check(model, plan, min(tokens))
    found: dict[Plan, list[Arrays]] = {plan: [] for plan in asked}
    others: list[Arrays] = []
    answer = answer or (lambda plan, inputs: simulated(model, plan, inputs))
    lengths: list[int] = []
    for number, (inputs, length) in enumerate(zip(samples.inputs, tokens, strict=True)):
        start, stop = len(lengths), len(lengths) + len(next(iter(inputs.values())))
        lengths += [length] * (stop - start)
        counted = None if samples.scored is None else samples.scored[start:stop]
        for plan in asked:
            tell(f"batch {number + 1} of {count}: {plan}", number / count, 1)
            outputs = answer(approximating(plan), inputs)
            found[plan].append(reduced(model, outputs, inputs, counted))
        if reference is not None:
            outputs = simulated(reference, LOCAL, inputs)
            others.append(reduced(reference, outputs, inputs, counted))
    exact = joined(others or found[LOCAL])
    return [
        Evaluated(
            plan=plan,
            scores=tuple(
                scores(joined(found[plan]), exact, samples, itself=plan == LOCAL and not others)
            ),
            wire_bytes=median(wire_bytes(approximating(plan), model.shape, 1, n) for n in lengths)
            if plan.exchanges
            else 0.0,
        )
        for plan in asked
    ]


def _tokens(model: Model, samples: Samples) -> list[int]:
    """Tokens of every batch's samples."""
    if model.shape.fixed_tokens:
        return [model.shape.tokens] * len(samples.inputs)
    return [model.tokens(model.prepare(inputs)) for inputs in samples.inputs]


@torch.inference_mode()
def simulated(model: Model, plan: Plan, inputs: Tensors) -> Tensors:
    """The outputs of a plan, its ranks in this process."""
    return simulate(model, plan, model.prepare(inputs))


def _check(model: Model, plan: Plan, tokens: int) -> None:
    """Refused before anything is computed: a plan that does not fit the shortest sample."""
    try:
        if plan.exchanges:
            check_fits(plan, model.shape, plan.p, tokens, plan.p)
            exchange_of(plan, model.codebooks)
    except PlanError as error:
        raise PlanError(f"{error}; leave {plan} out, or samples as short as that") from error


def reduced(
    model: Model, outputs: Tensors, inputs: Tensors, counted: Labels | None = None
) -> Arrays:
    """What scores need of a batch's outputs, one row a sample. ``counted`` [B]: tokens at each
    text's end whose loss counts, None: all but the first."""
    logits = outputs.get("logits")
    if logits is not None and logits.dim() == 2:
        return {"logits": logits.float().numpy()}
    if logits is not None:
        kept: Arrays = {"choices": logits.argmax(dim=-1).numpy()}
        if model.shape.causal:
            ids = inputs["input_ids"]
            losses = cross_entropy(
                logits[:, :-1].transpose(1, 2).float(), ids[:, 1:].long(), reduction="none"
            )
            before = ids.shape[1] - 1
            kept["tokens"] = np.full(len(ids), before) if counted is None else counted
            places = np.arange(before) >= before - kept["tokens"][:, None]
            kept["nll"] = (losses.double().numpy() * places).sum(axis=1)
        return kept
    hidden = outputs.get("last_hidden_state")
    if hidden is None:
        raise InputError(
            f"outputs are {sorted(outputs)}: only logits and hidden states can be compared"
        )
    return {"vectors": hidden.double().mean(dim=1).numpy()}


def joined(parts: Sequence[Mapping[str, Any]]) -> Arrays:
    """All samples; choices in texts of several lengths stay apart."""
    return {
        name: _ragged([row for part in parts for row in part[name]])
        if name == "choices"
        else np.concatenate([part[name] for part in parts])
        for name in parts[0]
    }


def scores(found: Arrays, exact: Arrays, samples: Samples, *, itself: bool) -> list[Score]:
    """Against labels where there are any, and against the exact model; and by how much the first
    of these metrics is worse than the exact model's, unless ``found`` is the exact one itself."""
    metrics = metrics_of(found, exact, samples)
    made = [metric.score for metric in metrics]
    if metrics and not itself:
        made.append(metrics[0].drop(metrics_of(exact, exact, samples)[0]))
    return made


def metrics_of(found: Arrays, exact: Arrays, samples: Samples) -> list[Metric]:
    """What the answers can be judged by, what matters most first."""
    labels = samples.labels
    if samples.questions is not None and "nll" in found and labels is not None:
        metrics, best = cloze(found["nll"], samples.questions, labels)
        _, meant = cloze(exact["nll"], samples.questions, labels)
        return [*metrics, agreement((best == meant).astype(float))]
    if "vectors" in found:
        return [cosine(found["vectors"], exact["vectors"])]
    if "choices" in found:
        same = [
            float((a == b).mean()) for a, b in zip(found["choices"], exact["choices"], strict=True)
        ]
        return [
            *(language(found["nll"], found["tokens"]) if "nll" in found else []),
            agreement(np.array(same)),
        ]
    logits = found["logits"]
    if logits.shape[1] == 1:
        if labels is None:
            return []
        if labels.dtype.kind not in "iuf" or labels.ndim != 1 or not np.isfinite(labels).all():
            raise InputError(
                f"labels are {labels.dtype} of shape {labels.shape}; a finite number for each "
                "sample is needed"
            )
        return regression(logits[:, 0], labels.astype(float))
    scored: list[Metric] = []
    if labels is not None:
        classes = f"the model's classes are whole numbers from 0 to {logits.shape[1] - 1}"
        if labels.dtype.kind not in "iu" or labels.ndim != 1:
            raise InputError(f"labels are {labels.dtype} of shape {labels.shape}; {classes}")
        if labels.min() < 0 or labels.max() >= logits.shape[1]:
            raise InputError(f"labels go from {labels.min()} to {labels.max()}; {classes}")
        every = classification(logits, labels.astype(np.int64))
        scored = [m for m in every if samples.metrics is None or m.name in samples.metrics]
    return [*scored, agreement((logits.argmax(1) == exact["logits"].argmax(1)).astype(float))]


def _ragged(rows: Sequence[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    held = np.empty(len(rows), dtype=object)
    for number, row in enumerate(rows):
        held[number] = row
    return held
