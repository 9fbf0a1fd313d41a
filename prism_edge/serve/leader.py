"""The leader's agent: admits requests, makes batches, picks plans, and never loses one.

A request passes through ``infer`` (admit), ``_serve`` (batch), ``_execute`` (plan, run, reply).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

from prism_edge.engine.client import EngineGoneError
from prism_edge.engine.messages import Message
from prism_edge.errors import (
    ClusterError,
    DeadlineError,
    InputError,
    ModelError,
    PlanError,
    UnavailableError,
)
from prism_edge.plan import Plan
from prism_edge.serve.admission import Admission
from prism_edge.serve.batcher import Batcher, Waiting, join_inputs, split_outputs
from prism_edge.serve.choice import Choice, wanted_plan
from prism_edge.serve.cluster import Cluster
from prism_edge.serve.decide import Decider
from prism_edge.serve.generations import Generations
from prism_edge.serve.metrics import Metrics
from prism_edge.serve.models import Served, infos, served_models
from prism_edge.serve.probing import Probing
from prism_edge.serve.record import Record
from prism_edge.serve.service import InferCall, InferReply, ModelInfo, PromptCall, Readiness, Said
from prism_edge.serve.supervisor import Supervisor, answer, refuse
from prism_edge.serve.why import Ran, why_ran
from prism_edge.settings import Settings

LOG = logging.getLogger(__name__)
Ticket = asyncio.Future[InferReply]
IDLE_S = 0.25


class Leader:
    """The service users talk to; also the whole daemon of a board that serves alone."""

    def __init__(
        self,
        settings: Settings,
        cluster: Cluster,
        decider: Decider,
        record: Record,
        metrics: Metrics,
    ) -> None:
        self._settings = settings
        self._cluster = cluster
        self._decider = decider
        self._record = record
        self._metrics = metrics
        self._models: dict[str, Served] = {}
        limits = settings.serve
        self._batcher: Batcher[Ticket] = Batcher(limits.max_batch, limits.max_delay_s, limits.queue)
        self._admission = Admission(limits.max_batch)
        self._probing = Probing(settings, cluster, decider, metrics)
        self._generations = Generations(
            settings, cluster, decider, record, metrics, lambda: self.engine
        )
        self._wake = asyncio.Event()
        self.draining = False
        self.engine: Supervisor | None = None

    def models(self) -> Sequence[ModelInfo]:
        return infos(self._settings, self._models)

    def readiness(self) -> Readiness:
        if self.draining:
            return Readiness(ready=False, reason="draining")
        if self.engine is None or not self.engine.ready:
            complaint = self.engine.complaint if self.engine else None
            return Readiness(ready=False, reason=complaint or "the engine is loading")
        return Readiness(ready=True, reason=self._degraded())

    def status(self) -> Mapping[str, object]:
        return {
            "role": "leader",
            "kind": self._settings.kind,
            **self._cluster.status(),
            "link": self._decider.link_text(),
            "degraded": self._degraded(),
            "queue": self._waiting(),
            "busy": self._admission.busy or self._generations.under_way > 0,
            "generations": self._generations.under_way,
            "journal": self._record.complaint,
            "last": self._record.last(),
        }

    async def infer(self, request: InferCall) -> InferReply:
        served = self._served(request.model)
        rows, tokens = served.extent(request.inputs)
        wanted = request.parameters.get("plan")
        plan = wanted_plan(wanted, served.shape, rows, tokens, len(self._settings.boards))
        now_s = time.monotonic()
        limit_s = min(request.timeout_s or math.inf, self._settings.serve.timeout_s)
        ticket: Ticket = asyncio.get_running_loop().create_future()
        waiting = Waiting(
            ticket=ticket,
            model=request.model,
            inputs=request.inputs,
            plan=None if plan is None else str(plan),
            arrived_s=now_s,
            deadline_s=now_s + limit_s,
        )
        assert self.engine is not None
        engine_s = self.engine.ready_in_s(now_s)
        self._admission.check(self._batcher.queue, waiting, now_s, engine_s)
        self._batcher.add(waiting)
        self._metrics.queue(self._waiting())
        self._wake.set()
        try:
            return await asyncio.wait_for(ticket, limit_s)
        except asyncio.TimeoutError:
            raise DeadlineError(f"no answer within {limit_s:g} s; is the board busy?") from None
        finally:
            self._batcher.remove(ticket)

    def generate(self, request: PromptCall) -> AsyncGenerator[Said, None]:
        """The tokens that go on from a prompt, as they are chosen; see ``Generations``."""
        return self._generations.stream(request, self._served(request.model))

    def engine_event(self, message: Message) -> None:
        """React to what the engine reports."""
        if message.kind == "ready":
            self._models = served_models(message)
            self._decider.models(self._models, time.monotonic())
        self._cluster.engine_event(message, self._models)
        self._wake.set()

    async def run(self) -> None:
        """Serve batches until cancelled; while idle, probe the link when that is due."""
        while True:
            self._wake.clear()
            for late in self._batcher.expired(time.monotonic()):
                refuse(late.ticket, DeadlineError("the request's deadline passed in the queue"))
            for late, slower in self._admission.hopeless(self._batcher.queue, time.monotonic()):
                self._batcher.remove(late.ticket)
                refuse(late.ticket, slower)
            batch = self._batcher.take(time.monotonic())
            self._metrics.queue(self._waiting())
            if batch:
                self._admission.started(batch, time.monotonic())
                try:
                    await self._execute(batch)
                except Exception as error:  # a bug of ours must not cost the requests behind it
                    LOG.exception("batch failed model=%s", batch[0].model)
                    for request in batch:
                        refuse(request.ticket, error)
                finally:
                    self._admission.ended()
                await self._probing.probe(self.engine, idle=False)
                continue
            wake_s = self._batcher.wake_s()
            if wake_s is None:
                await self._probing.probe(self.engine, idle=True)
            pause_s = IDLE_S if wake_s is None else max(0.0, wake_s - time.monotonic())
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._wake.wait(), min(pause_s, IDLE_S))

    async def drain(self, timeout_s: float) -> bool:
        """No new requests; True when all admitted ones were answered within ``timeout_s``."""
        self.draining = True
        end_s = time.monotonic() + timeout_s
        while self._admitted() and time.monotonic() < end_s:
            await asyncio.sleep(0.02)
        self._decider.close()
        if self._admitted():
            LOG.warning("some requests were not answered within %.0f s", timeout_s)
            return False
        return True

    async def _execute(self, batch: list[Waiting[Ticket]]) -> None:
        """Every request of the batch is answered or refused."""
        served = self._models[batch[0].model]
        inputs = join_inputs(batch)
        rows, tokens = served.extent(inputs)
        boards = self._cluster.ranks()
        start_s = time.monotonic()
        choice: Choice | None = None
        try:
            plan = None if batch[0].plan is None else Plan.parse(batch[0].plan)
            left_s = min(request.deadline_s for request in batch) - start_s
            choice = self._decider.choose(
                served, rows, tokens, boards, plan, now_s=start_s, left_s=left_s
            )
            message, why, retried = await self._run(batch, inputs, choice)
        except asyncio.TimeoutError:
            # an engine that answers nothing is worse than none: its successor takes the next batch
            assert self.engine is not None
            self.engine.kill()
            error: Exception = DeadlineError("the engine did not answer in time; it is restarted")
        except EngineGoneError as gone:
            self._metrics.fallback("engine_lost")
            error = UnavailableError(f"the engine failed twice on this request: {gone}", 5.0)
        except (InputError, ModelError, PlanError) as wrong:
            if len(batch) > 1:  # one of them is malformed; the others must not suffer
                for request in batch:
                    await self._execute([request])
                return
            error = type(wrong)(self._cluster.name_boards(str(wrong), boards))
        except ClusterError as failed:
            error = failed
        else:
            self._reply(batch, rows, boards, choice, why, message, retried, start_s)
            return
        self._record.failed(batch[0], rows, choice, str(error), start_s)
        for request in batch:
            refuse(request.ticket, error)

    async def _run(
        self, batch: list[Waiting[Ticket]], inputs: Mapping[str, Any], choice: Choice
    ) -> tuple[Message, str, bool]:
        """The engine's answer, why its plan was chosen, whether a second engine had to give it."""
        assert self.engine is not None
        plan = str(choice.plan)
        for retried in (False, True):
            left_s = max(request.deadline_s for request in batch) - time.monotonic()
            try:
                client = await self.engine.until_ready(left_s)
                future = client.ask("run", inputs, model=batch[0].model, plan=plan)
                why = choice.why  # put into words while the engine computes
                return await answer(future, self._settings.serve.timeout_s), why, retried
            except EngineGoneError as error:
                if retried:
                    raise
                LOG.warning("engine lost during a batch; retrying once: %s", error)
                plan = "local"
        raise AssertionError("unreachable")

    def _reply(
        self,
        batch: list[Waiting[Ticket]],
        rows: int,
        boards: tuple[str, ...],
        choice: Choice,
        why: str,
        message: Message,
        retried: bool,
        start_s: float,
    ) -> None:
        """Hand out the outputs, with the plan that really ran and why."""
        fields, stop_s = message.fields, time.monotonic()
        lost = "answered locally by the next one" if retried else None
        ran = Ran(choice=choice, why=why, boards=boards, start_s=start_s, lost=lost)
        why = why_ran(ran, fields, self._cluster, self._metrics)
        self._metrics.wire(fields["wire_bytes"])
        self._decider.observe(choice, fields, stop_s)
        if not retried and fields["fallback"] is None:
            self._admission.took(batch, stop_s - start_s)
        self._probing.show_link()
        self._record.answered(batch[0], rows, fields, why, start_s, stop_s, choice.id)
        for request, outputs in zip(batch, split_outputs(batch, message.arrays), strict=True):
            parameters = {
                "plan": fields["plan"],
                "why": why,
                "wire_bytes": fields["wire_bytes"],
                "batch": rows,
                "queue_s": round(start_s - request.arrived_s, 6),
                "run_s": round(stop_s - start_s, 6),
                "engine_s": round(fields["engine_s"], 6),
            }
            if not request.ticket.done():
                request.ticket.set_result(InferReply(outputs=outputs, parameters=parameters))

    def _served(self, model: str) -> Served:
        """The model, if requests are admitted now."""
        if self.draining or self.engine is None:
            raise UnavailableError("the daemon is draining; ask another one", 5.0)
        if model not in self._models:
            raise UnavailableError("the engine is loading; try again shortly", 2.0)
        return self._models[model]

    def _waiting(self) -> int:
        return len(self._batcher.queue) + self._generations.waiting

    def _admitted(self) -> bool:
        """Whether there is a request that has not been answered."""
        return self._admission.busy or self._waiting() > 0 or self._generations.under_way > 0

    def _degraded(self) -> str | None:
        """Why only this board answers, when more were configured or no tables apply."""
        if len(self._settings.boards) == 1:
            return None
        if self._cluster.in_service() == 1:
            return "no other board is in service: local only"
        return self._decider.complaint()
