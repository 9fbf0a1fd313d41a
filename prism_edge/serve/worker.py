"""A worker board's agent: keeps an engine, says hello to the leader, takes the seat it is given."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

import httpx

from prism_edge.energy.clocks import Offset, measured
from prism_edge.energy.sample import Sample
from prism_edge.engine.client import EngineGoneError
from prism_edge.engine.manifest import PROTOCOL
from prism_edge.engine.messages import Message
from prism_edge.errors import UnavailableError
from prism_edge.serve.models import Served, infos, served_models
from prism_edge.serve.service import (
    InferCall,
    InferReply,
    ModelInfo,
    PromptCall,
    Readiness,
    Said,
)
from prism_edge.serve.supervisor import Supervisor
from prism_edge.serve.tls import trusting
from prism_edge.settings import Settings

LOG = logging.getLogger(__name__)
HELLO_S = 0.25
PATIENCE_S = 2.0  # a leader silent for longer has closed the epoch
HELLOS_TIMED = 40  # the quickest of so many tells the clock's offset
SAMPLES_KEPT = 4096  # power samples held back while the leader cannot be reached


class Worker:
    """The service of a worker: it answers no users, it serves the leader's group."""

    def __init__(self, settings: Settings, board: str, token: str | None) -> None:
        self._settings = settings
        self._board = board
        self._token = token
        self._models: dict[str, Served] = {}
        self._samples: deque[Sample] = deque(maxlen=SAMPLES_KEPT)
        self._offsets: deque[Offset] = deque(maxlen=HELLOS_TIMED)
        self._seat: int | None = None
        self._left: int | None = None
        self._heard_s = float("-inf")
        self._unheard: str | None = None  # why the leader has been out of reach for a while
        self._news = asyncio.Event()
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
        if self._unheard is not None:
            return Readiness(ready=True, reason=f"the leader is out of reach: {self._unheard}")
        if self._seat is None:
            return Readiness(ready=True, reason="not in a group; waiting for the leader")
        return Readiness(ready=True)

    def status(self) -> Mapping[str, object]:
        leader = self._settings.board(self._settings.leader)
        return {
            "board": self._board,
            "role": "worker",
            "leader": f"{leader.name} at {leader.address}:{self._settings.serve.port}",
            "leader_url": self._settings.url(leader.name),
            "epoch": self._seat,
            "ready": self.readiness().ready,
        }

    async def infer(self, request: InferCall) -> InferReply:
        raise self._elsewhere()

    def generate(self, request: PromptCall) -> AsyncGenerator[Said, None]:
        raise self._elsewhere()

    def _elsewhere(self) -> UnavailableError:
        leader = self._settings.board(self._settings.leader)
        return UnavailableError(
            f"board {self._board} is a worker; send requests to the leader, {leader.name} at "
            f"{self._settings.url(leader.name)}",
            60.0,
        )

    def sample(self, sample: Sample) -> None:
        """Keep a power sample for the next hello."""
        self._samples.append(sample)

    def engine_event(self, message: Message) -> None:
        """React to what the engine reports."""
        if message.kind == "ready":
            self._models = served_models(message)
        elif message.kind == "left" and message.fields["epoch"] == self._seat:
            self._left, self._seat = self._seat, None
            LOG.warning("left epoch=%s reason=%s", self._left, message.fields["reason"])
        elif message.kind == "gone":
            self._seat = None
        self._news.set()

    async def drain(self, timeout_s: float) -> None:
        """The leader has let this board go, or has not within ``timeout_s``."""
        self.draining = True
        self._news.set()
        end_s = time.monotonic() + timeout_s
        while self._seat is not None and time.monotonic() < end_s:
            await asyncio.sleep(0.02)
        if self._seat is not None:
            LOG.warning("leaving epoch=%s although the leader has not closed it", self._seat)

    async def run(self) -> None:
        """Say hello until cancelled: at once when there is news, else every ``HELLO_S``."""
        base = self._settings.url(self._settings.leader)
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        async with httpx.AsyncClient(
            base_url=base,
            headers=headers,
            timeout=httpx.Timeout(1.0),
            verify=trusting(self._settings.serve.authority),
        ) as client:
            while True:
                self._news.clear()
                await self._hello(client)
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._news.wait(), HELLO_S)

    async def _hello(self, client: httpx.AsyncClient) -> None:
        assert self.engine is not None
        now_s = asyncio.get_running_loop().time()
        samples = list(self._samples)
        said = {
            "board": self._board,
            "instance": self.engine.instance,
            "ready": self.engine.ready and not self.draining,
            "models": {name: served.fingerprint for name, served in self._models.items()},
            "protocol": PROTOCOL,
            "seat": self._seat,
            "left": self._left,
            "leaving": self.draining,
            "power": [_reading(sample) for sample in samples],
        }
        if self._offsets:
            best = min(self._offsets, key=lambda offset: offset.bound_s)
            said["clock"] = [best.offset_s, best.bound_s]
        sent_s, started_s = time.time(), time.monotonic()
        try:
            reply = await client.post("/cluster/hello", json=said)
            reply.raise_for_status()
            took_s = time.monotonic() - started_s
            answer = reply.json()
            seat = answer["seat"]
            if "now_s" in answer:  # not from a leader of before
                self._heard_clock(measured(sent_s, sent_s + took_s, float(answer["now_s"])))
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            why = f"{type(error).__name__}: {' '.join(str(error).split())}"
            if now_s - self._heard_s > PATIENCE_S and why != self._unheard:
                LOG.warning("leader unreachable error=%s", why)
                self._unheard = why
                self._take_seat(None)
            return
        for _ in samples:
            self._samples.popleft()
        self._heard_s, self._unheard = now_s, None
        self._take_seat(seat)

    def _heard_clock(self, offset: Offset) -> None:
        if any(offset.apart(other) for other in self._offsets):
            self._offsets.clear()  # one of the two clocks was set
        self._offsets.append(offset)

    def _take_seat(self, seat: dict[str, Any] | None) -> None:
        """Make the engine join or leave, so that it sits where the leader says."""
        wanted = seat["epoch"] if seat else None
        if wanted == self._seat or (wanted is not None and wanted == self._left):
            return
        client = self.engine.client if self.engine else None
        if client is None or self.engine is None or not self.engine.ready:
            return
        try:
            if seat is not None:
                LOG.info("joining epoch=%s rank=%s", wanted, seat["rank"])
                client.send("join", **seat)
                self._seat = wanted
                self._news.set()  # the leader waits for this word
            elif self._seat is not None:
                client.send("leave", epoch=self._seat, now=True)
                self._seat = None
        except EngineGoneError:
            self._seat = None


def _reading(sample: Sample) -> list[object]:
    """As it travels; what lies beside the power only where there is something."""
    beside = {"gap": sample.gap, "events": dict(sample.events)}
    more = [beside] if sample.gap is not None or sample.events else []
    return [sample.t_s, sample.power_w, sample.source, *more]
