"""Timing one rank's part of a request with every message already there: computing, no waiting.

What is timed is the production code: ``lead`` for rank 0, ``follow`` for the others. Only the
transport is another one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from prism_edge.engine.steady import warm_enough
from prism_edge.families.device import synchronise
from prism_edge.families.model import Model, Tensors
from prism_edge.generate import prefill as read_prompts
from prism_edge.plan import Plan
from prism_edge.request import follow, lead
from prism_edge.sampling import Sampling
from prism_edge.spans import Effort, Recorder
from prism_edge.transport.staging import HOST, Staging
from prism_edge.transport.tally import Tally

NAME = "measured"
MOST_PASSES = 100  # for the sake of a power meter
REQUEST_PARTS = 2  # messages a rank is sent before it computes: header and body


class Answered:
    """A transport on which messages arrive at once: those of ``script`` first, then zeros.

    ``sent``: copies of the first messages to each rank, as many as a request has parts.
    """

    staging: Staging = HOST

    def __init__(self, rank: int, size: int, script: Sequence[Tensor] = ()) -> None:
        self.rank = rank
        self.size = size
        self.sent_bytes = 0
        self.tally = Tally()
        self.sent: dict[int, list[Tensor]] = {}
        self._script = list(script)
        self._zeros: dict[int, Tensor] = {}

    def begin(
        self,
        sends: Mapping[int, Tensor],
        receives: Mapping[int, int],
        effort: Effort | None = None,
    ) -> AnsweredPending:
        for rank, tensor in sends.items():
            self.sent_bytes += tensor.numel() * tensor.element_size()
            kept = self.sent.setdefault(rank, [])
            if len(kept) < REQUEST_PARTS:
                kept.append(tensor.view(-1).view(torch.uint8).clone())
        return AnsweredPending({rank: self._message(size) for rank, size in receives.items()})

    def abort(self) -> None:
        pass

    def close(self) -> None:
        pass

    def _message(self, size: int) -> Tensor:
        if self._script:
            return self._script.pop(0)
        if size not in self._zeros:
            self._zeros[size] = torch.zeros(size, dtype=torch.uint8)
        return self._zeros[size]


class AnsweredPending:
    """Messages that are there."""

    def __init__(self, payloads: dict[int, Tensor]) -> None:
        self._payloads = payloads

    def wait(self, timeout_s: float | None = None) -> dict[int, Tensor]:
        return self._payloads


@dataclass(frozen=True, slots=True, kw_only=True)
class Passes:
    """Seconds of passes in a row: those that warmed up, then those that count."""

    warm: list[float]
    counted: list[float]


def measure(
    model: Model,
    plan: Plan,
    rank: int,
    batch: int,
    tokens: int,
    repeats: int,
    *,
    prefill: bool = False,
    warm_s: float = 0.0,
    at_least_s: float = 0.0,
) -> Passes:
    """``repeats`` passes of ``rank``'s part of a request, from its input to its last message or, on
    rank 0, the outputs.

    One pass warms up, and within ``warm_s`` more of them, until they no longer drift. Passes go on
    until they have taken ``at_least_s``, so that a power meter sees them. ``prefill``: of reading
    prompts, not of a whole forward. Raises ``PlanError`` when the plan does not fit.
    """
    inputs = blank_inputs(model, batch, tokens)
    asking = Answered(0, plan.p)
    once = Sampling(max_new_tokens=1)
    ask: Callable[..., object] = partial(read_prompts, sampling=once) if prefill else lead
    request = partial(ask, model, NAME, plan, inputs, group=asking, recorder=Recorder())
    if rank > 0:
        request()  # makes the messages that the rank is sent

    def seconds() -> float:
        group = Answered(rank, plan.p, asking.sent[rank]) if rank > 0 else None
        start_s = time.perf_counter()
        if group is None:
            request()
        else:
            follow({NAME: model}, group)
        synchronise(model.device)
        return time.perf_counter() - start_s

    warm, counted = [seconds()], list[float]()
    while warm_s and not warm_enough(warm, warm_s):
        warm.append(seconds())
    while len(counted) < repeats or (sum(counted) < at_least_s and len(counted) < MOST_PASSES):
        counted.append(seconds())
    return Passes(warm=warm, counted=counted)


def blank_inputs(model: Model, batch: int, tokens: int) -> Tensors:
    """Raw inputs of the right size: black pixels, or the first token again and again."""
    first = model.inputs[0]
    if not model.shape.fixed_tokens:
        return {first.name: torch.zeros(batch, tokens, dtype=torch.long)}
    shape = [batch if size == -1 else size for size in first.shape]
    return {first.name: torch.zeros(shape, dtype=torch.uint8)}
