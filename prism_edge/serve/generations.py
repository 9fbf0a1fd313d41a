"""Prompts, from admission to the last token: each waits its turn, none is answered twice.

The engine lets those that have a turn take turns of a token each, beside its other orders. A
prompt whose engine is lost goes on at the next one, behind what its client has already got.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from dataclasses import replace
from typing import Any

import numpy as np

from prism_edge.engine.client import EngineGoneError
from prism_edge.errors import InputError, UnavailableError
from prism_edge.plan import Plan
from prism_edge.serve.batcher import Waiting
from prism_edge.serve.choice import Choice, wanted_plan
from prism_edge.serve.cluster import Cluster
from prism_edge.serve.decide import Decider
from prism_edge.serve.metrics import Metrics
from prism_edge.serve.models import Served
from prism_edge.serve.record import Record
from prism_edge.serve.service import PromptCall, Said
from prism_edge.serve.supervisor import Supervisor
from prism_edge.serve.token_stream import TokenStream
from prism_edge.serve.turns import Turns
from prism_edge.serve.why import Ran, why_ran
from prism_edge.settings import Settings

LOG = logging.getLogger(__name__)
Put = Callable[[Said | Exception], None]


class Generations:
    """``engine()`` is the one that runs now. As many prompts are answered at once as rows are
    batched, and as many wait as other requests do."""

    def __init__(
        self,
        settings: Settings,
        cluster: Cluster,
        decider: Decider,
        record: Record,
        metrics: Metrics,
        engine: Callable[[], Supervisor | None],
    ) -> None:
        self._settings = settings
        self._cluster = cluster
        self._decider = decider
        self._record = record
        self._metrics = metrics
        self._engine = engine
        self._timeout_s = settings.serve.timeout_s
        self._turns = Turns(settings.serve.max_batch, settings.serve.queue)
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def waiting(self) -> int:
        return self._turns.waiting

    @property
    def under_way(self) -> int:
        return self._turns.taken

    async def stream(self, call: PromptCall, served: Served) -> AsyncGenerator[Said, None]:
        """The answer's tokens; closing this ends the work on them. Raises what ``infer`` raises.

        The work has a task of its own: a client that reads slowly keeps nobody waiting.
        """
        plan = self._checked(call, served)
        said: asyncio.Queue[Said | Exception] = asyncio.Queue()
        task = self._keep(self._answer(call, served, plan, said.put_nowait))
        try:
            while True:
                item = await said.get()
                if isinstance(item, Exception):
                    raise item
                yield item
                if item.parameters is not None:
                    return
        finally:
            task.cancel()

    def _keep(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        """A task that lives as long as its work; the loop itself would not keep it."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _checked(self, call: PromptCall, served: Served) -> Plan | None:
        """The plan the user asked for, None: the policy's. Refuses what no engine would take."""
        output, tokens = served.info.outputs[0].name, len(call.ids)
        if not served.shape.causal or output != "logits":
            raise InputError(
                f"model {call.model} does not generate text: it answers {output}; a causal model "
                f"with a language-modelling head does"
            )
        if not 1 <= tokens <= served.shape.tokens:
            raise InputError(
                f"the prompt has {tokens} tokens, model {call.model} reads 1 to "
                f"{served.shape.tokens}"
            )
        return wanted_plan(call.plan, served.shape, 1, tokens, len(self._settings.boards))

    async def _answer(self, call: PromptCall, served: Served, plan: Plan | None, put: Put) -> None:
        """Every token is put once, the last with the reply's parameters; or what went wrong."""
        arrived_s = time.monotonic()
        end_s = arrived_s + (call.timeout_s or math.inf)
        first: Waiting[None] = Waiting(
            ticket=None,
            model=call.model,
            inputs={"input_ids": np.array([call.ids], dtype=np.int64)},
            plan=None if plan is None else str(plan),
            arrived_s=arrived_s,
            deadline_s=end_s,
        )
        try:
            async with self._turns.turn(self._patience_s(end_s)):
                start_s, boards = time.monotonic(), self._cluster.ranks()
                choice = self._decider.choose(
                    served,
                    1,
                    len(call.ids),
                    boards,
                    plan,
                    now_s=start_s,
                    left_s=min(end_s - start_s, self._timeout_s),
                )
                said: list[int] = []
                try:
                    fields, last, lost = await self._follow(call, choice, said, end_s, put)
                except BaseException as error:
                    why = str(error) or f"the client hung up after {len(said)} tokens"
                    self._record.failed(first, 1, choice, why, start_s)
                    raise
                ran = Ran(choice=choice, why=choice.why, boards=boards, start_s=start_s, lost=lost)
                why = why_ran(ran, fields, self._cluster, self._metrics)
                stop_s = time.monotonic()
                about = {"wire_bytes": fields["wire_bytes"]}
                if about["wire_bytes"] is None:
                    about = {}  # nobody is left who knows
                else:
                    self._metrics.wire(about["wire_bytes"])
                self._record.answered(first, 1, fields, why, start_s, stop_s, choice.id)
                put(
                    replace(
                        last,
                        parameters={
                            "plan": fields["plan"],
                            "why": why,
                            **about,
                            "prompt_tokens": len(call.ids),
                            "tokens": len(said) + 1,
                            "queue_s": round(start_s - arrived_s, 6),
                            "run_s": round(stop_s - start_s, 6),
                        },
                    )
                )
        except Exception as error:
            put(error)

    async def _follow(
        self, call: PromptCall, choice: Choice, said: list[int], end_s: float, put: Put
    ) -> tuple[Any, Said, str | None]:
        """The engine's result, the last token, and what a second engine had to do, if it had to.
        Every token but the last is put, and added to ``said``."""
        plan, lost = str(choice.plan), None
        while True:
            try:
                fields, last = await self._at_one_engine(call, plan, choice.id, said, end_s, put)
                return fields, last, lost
            except EngineGoneError as error:
                if lost is not None:
                    self._metrics.fallback("engine_lost")
                    raise UnavailableError(
                        f"the engine failed twice on this request: {error}", 5.0
                    ) from error
                LOG.warning("engine lost during a generation; going on once: %s", error)
                plan = "local"
                lost = (
                    f"the next one went on locally after {len(said)} tokens"
                    if said
                    else "answered locally by the next one"
                )

    async def _at_one_engine(
        self, call: PromptCall, plan: str, key: str, said: list[int], end_s: float, put: Put
    ) -> tuple[Any, Said]:
        supervisor = self._engine()
        assert supervisor is not None
        client = await supervisor.until_ready(self._patience_s(end_s))
        tokens = TokenStream(
            client,
            model=call.model,
            plan=plan,
            ids=[*call.ids, *said],
            said=len(said),
            sampling=replace(
                call.sampling, max_new_tokens=call.sampling.max_new_tokens - len(said)
            ),
            key=key,
        )
        last: Said | None = None
        try:
            while (message := await tokens.token(self._patience_s(end_s))) is not None:
                if last is not None:
                    continue  # chosen before the engine heard that there are enough
                found = Said(token=message.fields["ids"][0], ended=message.fields["ended"][0])
                enough = call.enough(found)
                if found.ended is not None:
                    last = found
                elif enough:
                    last = replace(found, ended="stop")
                    tokens.cancel()
                else:
                    said.append(found.token)
                    put(found)
        except BaseException as error:
            if isinstance(error, Exception):
                put(error)  # its client need not wait for the engine to stop
            stopped = self._keep(tokens.stop(self._timeout_s))
            await asyncio.shield(stopped)  # a client that is told and leaves does not end it
            raise
        if last is None:
            tokens.result()  # raises why there is no last one
            raise AssertionError("an engine's result follows a token that ended the answer")
        try:
            return tokens.result().fields, last
        except EngineGoneError:  # after the last token: there is nothing left to do for another
            return {"plan": plan, "fallback": None, "wire_bytes": None, "spans": []}, last

    def _patience_s(self, end_s: float) -> float:
        """Until the next token at the latest: the request's limit is for all, ours for each."""
        return max(0.0, min(self._timeout_s, end_s - time.monotonic()))
