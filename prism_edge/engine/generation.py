"""Orders to generate: tokens are reported as they are chosen, then all of them as the result.

Many are under way at once. They take turns, a token each, and between two turns the engine carries
out one other order: nobody waits for the whole of somebody else's text.
"""

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

Report = Callable[..., None]


class Generation:
    """One ``generate`` order, its prompts read. A peer lost while they are makes it a local one,
    before any token; later none is needed.

    Its fields: ``model``, ``plan``, ``sampling``; ``said`` (see ``decode``); ``key`` to cancel it.
    """

    def __init__(
        self, model: Model, job: Message, membership: Membership, manifest: Manifest, report: Report
    ) -> None:
        name, self._start_s = job.fields["model"], time.monotonic()
        sampling, inputs = Sampling.of(job.fields["sampling"]), tensors(job.arrays)
        self._done = carry_out(
            name,
            Plan.parse(job.fields["plan"]),
            membership,
            manifest,
            lambda epoch, reason: report("left", epoch=epoch, reason=reason),
            lambda plan, group, recorder: prefill(
                model, name, plan, inputs, sampling, group, recorder
            ),
            wrong=lambda read: not_finite({"logits": read.logits}),
        )
        self.id, self.key = job.fields["id"], job.fields.get("key")
        self._report, self._shape = report, model.shape
        self._batch, self._prompt = inputs["input_ids"].shape
        self._answers: list[list[int]] = [[] for _ in range(self._batch)]
        self._ended: tuple[Reason | None, ...] = (None,) * self._batch
        said = job.fields.get("said", 0)
        self._steps = decode(model, self._done.answer, sampling, self._done.recorder, said)

    def step(self) -> bool:
        """One more token of each answer is reported; False: the last was, and so is the result."""
        step = next(self._steps)
        self._ended = step.ended
        self._report("token", id=self.id, ids=step.ids, ended=step.ended)
        for answer, token in zip(self._answers, step.ids, strict=True):
            answer += [] if token is None else [token]
        if None in step.ended:
            return True
        self.end()
        return False

    def end(self) -> None:
        """It is over; what there is of it is reported as its result."""
        self._steps.close()
        done = self._done
        self._report(
            "result",
            id=self.id,
            tokens=self._answers,
            ended=self._ended,
            plan=str(done.plan),
            fallback=done.fallback,
            wire_bytes=wire_bytes(done.plan, self._shape, self._batch, self._prompt, "last"),
            engine_s=time.monotonic() - self._start_s,
            efforts=done.recorder.efforts_of(done.plan.p),
            spans=[[s.name, s.start_s, s.stop_s - s.start_s, s.bytes] for s in done.recorder.spans],
        )


class Generations:
    """Those under way. ``fail(id, error)`` answers an order that went wrong."""

    def __init__(self, fail: Callable[[int, Exception], None]) -> None:
        self._fail = fail
        self._running: list[Generation] = []

    def __len__(self) -> int:
        return len(self._running)

    def add(self, generation: Generation) -> None:
        self._running.append(generation)

    def step(self) -> None:
        """Each has reported one more token, or its end."""
        for generation in list(self._running):
            try:
                if generation.step():
                    continue
            except Exception as error:  # every order gets an answer, and the others go on
                self._fail(generation.id, error)
            self._running.remove(generation)

    def cancel(self, key: str) -> None:
        """The one of this key has reported what there is of it; nothing if it is over already."""
        for generation in [one for one in self._running if one.key == key]:
            self._running.remove(generation)
            generation.end()
