"""The order to generate: tokens are reported as they are chosen, then all of them as the result."""

from __future__ import annotations

import time
from collections.abc import Callable

from prism_edge.engine.manifest import Manifest
from prism_edge.engine.member import Membership
from prism_edge.engine.messages import Message
from prism_edge.engine.order import carry_out, not_finite, tensors
from prism_edge.families.model import Model
from prism_edge.generate import Reason, decode, prefill
from prism_edge.plan import Plan
from prism_edge.sampling import Sampling
from prism_edge.traffic import wire_bytes


def answer_generation(
    model: Model,
    job: Message,
    membership: Membership,
    manifest: Manifest,
    report: Callable[..., None],
) -> None:
    """One ``generate`` order: its ``token`` messages and its ``result`` are reported.

    A peer lost in the prefill makes it a local one, before any token; later none is needed.
    """
    name, start_s = job.fields["model"], time.monotonic()
    sampling, inputs = Sampling.of(job.fields["sampling"]), tensors(job.arrays)
    done = carry_out(
        name,
        Plan.parse(job.fields["plan"]),
        membership,
        manifest,
        lambda epoch, reason: report("left", epoch=epoch, reason=reason),
        lambda plan, group, recorder: prefill(model, name, plan, inputs, sampling, group, recorder),
        wrong=lambda read: not_finite({"logits": read.logits}),
    )
    batch, prompt = inputs["input_ids"].shape
    answers: list[list[int]] = [[] for _ in range(batch)]
    ended: tuple[Reason | None, ...] = ()
    for step in decode(model, done.answer, sampling, done.recorder):
        ended = step.ended
        report("token", id=job.fields["id"], ids=step.ids, ended=ended)
        for answer, token in zip(answers, step.ids, strict=True):
            answer += [] if token is None else [token]
    report(
        "result",
        id=job.fields["id"],
        tokens=answers,
        ended=ended,
        plan=str(done.plan),
        fallback=done.fallback,
        wire_bytes=wire_bytes(done.plan, model.shape, batch, prompt, "last"),
        engine_s=time.monotonic() - start_s,
        efforts=done.recorder.efforts_of(done.plan.p),
        spans=[[s.name, s.start_s, s.stop_s - s.start_s, s.bytes] for s in done.recorder.spans],
    )
