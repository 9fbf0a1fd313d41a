"""The order to generate: tokens are reported as they are chosen, then all of them as the result."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch

from prism_edge.engine.member import Membership
from prism_edge.engine.messages import Message
from prism_edge.errors import PeerLostError
from prism_edge.families.model import Model
from prism_edge.generate import generate
from prism_edge.plan import LOCAL, Plan
from prism_edge.sampling import Sampling
from prism_edge.spans import Recorder
from prism_edge.traffic import wire_bytes


def answer_generation(
    model: Model, job: Message, membership: Membership, report: Callable[..., None]
) -> None:
    """One ``generate`` order: its ``token`` messages and its ``result`` are reported.

    A peer lost in the prefill makes it a local one, before any token; later none is needed.
    """
    fields, recorder, fallback = job.fields, Recorder(), None
    plan, sampling = Plan.parse(fields["plan"]), Sampling.of(fields["sampling"])
    inputs = {key: torch.from_numpy(array) for key, array in job.arrays.items()}
    group, epoch = membership.current()
    boards = 1 if group is None else group.size
    start_s = time.monotonic()
    if plan.p > boards:  # the group was lost after the driver had chosen
        fallback, plan = f"only {boards} of {plan.p} boards were left when it began", LOCAL
    try:
        steps = generate(model, fields["model"], plan, inputs, sampling, group, recorder)
    except PeerLostError as error:
        fallback, plan, recorder = str(error), LOCAL, Recorder()
        if membership.leave(epoch):
            report("left", epoch=epoch, reason=fallback)
        steps = generate(model, fields["model"], plan, inputs, sampling, None, recorder)
    batch, prompt = inputs["input_ids"].shape
    answers: list[list[int]] = [[] for _ in range(batch)]
    ended: tuple[Any, ...] = ()
    for step in steps:
        report("token", id=fields["id"], ids=step.ids, ended=step.ended)
        ended = step.ended
        for answer, token in zip(answers, step.ids, strict=True):
            answer += [] if token is None else [token]
    report(
        "result",
        id=fields["id"],
        tokens=answers,
        ended=ended,
        plan=str(plan),
        fallback=fallback,
        wire_bytes=wire_bytes(plan, model.shape, batch, prompt, "last"),
        engine_s=time.monotonic() - start_s,
        spans=[[s.name, s.start_s, s.stop_s - s.start_s, s.bytes] for s in recorder.spans],
    )
