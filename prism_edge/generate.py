"""Text, token after token: one prefill under any plan, then this device alone.

In a causal model the leader owns the last positions, so a prefill leaves it with all that a later
token may see: its own tokens, and what it heard of the others, which later tokens cannot change.
Nothing is sent per token. Letters: B batch, N tokens of the prompts, V tokens of the vocabulary.
"""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from prism_edge.errors import InputError, PlanError
from prism_edge.families.model import Model, Tensors
from prism_edge.layout import check_fits
from prism_edge.plan import Plan
from prism_edge.request import lead_rows, local_rows
from prism_edge.sampling import Sampling
from prism_edge.spans import Recorder
from prism_edge.tensors.cache import Cache
from prism_edge.tensors.choice import next_token
from prism_edge.transport import Transport

Reason = Literal["stop", "length", "positions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """One step of a batch. ``ids``: the next token of each answer, None where it has ended before.
    ``ended``: why an answer ends here or has ended, None where it goes on: a ``stop`` token, the
    ``length`` asked for, or no ``positions`` left in the model."""

    ids: tuple[int | None, ...]
    ended: tuple[Reason | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prefilled:
    """A batch of prompts that has been read. ``logits`` [B,V]: scores of what comes next.
    ``lengths``: tokens of each prompt; ``limits``: tokens its answer may have."""

    logits: Tensor
    cache: Cache
    lengths: tuple[int, ...]
    limits: tuple[int, ...]


def generate(
    model: Model,
    name: str,
    plan: Plan,
    inputs: Tensors,
    sampling: Sampling,
    group: Transport | None,
    recorder: Recorder,
    said: int = 0,
) -> Iterator[Tokens]:
    """The answers of a batch of prompts, one token of each at a time, until all have ended.

    The prefill has taken place when this returns. ``said``: see ``decode``. Raises what ``prefill``
    raises.
    """
    read = prefill(model, name, plan, inputs, sampling, group, recorder)
    return decode(model, read, sampling, recorder, said)


def prefill(
    model: Model,
    name: str,
    plan: Plan,
    inputs: Tensors,
    sampling: Sampling,
    group: Transport | None,
    recorder: Recorder,
) -> Prefilled:
    """The prompts, read under ``plan``; what the answers need of them is on this device.

    ``input_ids`` [B,N], and ``attention_mask`` when shorter prompts are padded on the left. Raises
    ``InputError`` and ``PlanError`` before anything is sent, ``PeerLostError`` when a rank goes
    missing on the way; the inputs are untouched, so that it can be called again.
    """
    prompt, lengths = check_prompt(model, inputs, sampling)
    if any(part.method == "split" for part, _ in plan.parts(len(lengths))):
        raise PlanError(
            f"plan {plan}: the leader generates alone, and other ranks would hold the caches of "
            f"their samples; choose local, prism, voltage or astra"
        )
    boards = 1 if group is None else group.size
    check_fits(plan, model.shape, len(lengths), model.tokens(prompt), boards)
    limits = tuple(
        min(sampling.max_new_tokens, model.shape.tokens - length + 1)  # the last one is not read
        for length in lengths
    )
    cache = Cache(room=max(limits) - 1)
    with recorder.span("prefill"), torch.inference_mode():
        if plan.method == "local" or group is None:
            rows = local_rows(model, prompt, recorder, "last", cache.keep)
        else:
            heard = group.tally.restart()
            rows = lead_rows(model, name, plan, prompt, group, recorder, "last", cache.keep)
            recorder.add_efforts(heard)
        logits = model.head(rows)["logits"][:, -1]
    return Prefilled(logits=logits, cache=cache, lengths=lengths, limits=limits)


def decode(
    model: Model, read: Prefilled, sampling: Sampling, recorder: Recorder, said: int = 0
) -> Generator[Tokens, None, None]:
    """The answers to prompts that have been read, by this device alone.

    ``said``: how many of each prompt's last tokens are the beginning of its answer, which another
    device drew before it was lost; what comes is drawn as it would have gone on there.
    """
    logits = read.logits
    generator = torch.Generator(logits.device).manual_seed(sampling.seed)
    for _ in range(said):
        next_token(logits, sampling, generator)  # a draw takes as many numbers whatever the scores
    position = torch.tensor(read.lengths, device=logits.device)[:, None]  # [B,1] of the next token
    ended: tuple[Reason | None, ...] = (None,) * len(read.lengths)
    with recorder.span("decode"):
        for count in itertools.count(1):
            chosen = next_token(logits, sampling, generator)
            before, ids = ended, chosen.tolist()
            ended = tuple(
                old or _ending(token, count, limit, sampling)
                for old, token, limit in zip(before, ids, read.limits, strict=True)
            )
            yield Tokens(
                ids=tuple(
                    token if old is None else None for token, old in zip(ids, before, strict=True)
                ),
                ended=ended,
            )
            if None not in ended:
                return
            logits = _read_on(model, read.cache, chosen[:, None], position)
            # an answer that has ended is read on with the others, and its position must exist
            position = (position + 1).clamp(max=model.shape.tokens - 1)


def check_prompt(
    model: Model, inputs: Tensors, sampling: Sampling
) -> tuple[Tensors, tuple[int, ...]]:
    """The prompt as it travels, with the positions its padding calls for, and the tokens of each
    sample. Raises ``InputError`` when the model does not generate, or not from these."""
    output = model.outputs[0]
    if not model.shape.causal or output.name != "logits":
        raise InputError(
            f"this {model.shape.family} does not generate text: it answers {output.name!r}; "
            f"a causal model with a language-modelling head does"
        )
    vocabulary = output.shape[-1]
    if any(token >= vocabulary for token in sampling.stop):
        raise InputError(f"stop is {sampling.stop}, allowed are tokens 0 to {vocabulary - 1}")
    if "position_ids" in inputs:
        raise InputError("position_ids: not taken here, positions follow from attention_mask")
    prompt = model.prepare(inputs)
    real = model.real(prompt)
    if real is None:
        batch, tokens = inputs["input_ids"].shape
        return prompt, (tokens,) * batch
    lengths = tuple(real.sum(dim=1).tolist())
    if bool((real[:, 1:] < real[:, :-1]).any()) or 0 in lengths:
        raise InputError(
            "attention_mask: prompts are padded on the left, so a row is zeros and then at least "
            "one 1; set the tokenizer's padding_side to 'left'"
        )
    positions = (real.long().cumsum(dim=1) - 1).clamp(min=0)
    return model.prepare({**inputs, "position_ids": positions}), lengths


def _ending(token: int, count: int, limit: int, sampling: Sampling) -> Reason | None:
    """Why the answer ends with this token, its ``count``-th; None when it does not."""
    if token in sampling.stop:
        return "stop"
    if count < limit:
        return None
    return "length" if count == sampling.max_new_tokens else "positions"


@torch.inference_mode()
def _read_on(model: Model, cache: Cache, ids: Tensor, position: Tensor) -> Tensor:
    """The scores after one more token of each answer.  [B,1], [B,1] -> [B,V]"""
    x = model.embed({"input_ids": ids, "position_ids": position}, 0, 1)
    return model.head(cache.decode(model.blocks, x))["logits"][:, -1]
