"""The generate extension over HTTP: a text goes on, answered whole or as server-sent events.

Refusals before the first piece have a status of their own; what goes wrong later is one more event,
``{"error": ...}``, since the status has been sent.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from prism_edge.errors import PrismError
from prism_edge.serve.answers import find_model, outcome_of, timeout_of
from prism_edge.serve.body import read_body
from prism_edge.serve.generate_body import GenerateRequest, answer_of, decode_generate, event
from prism_edge.serve.guard import json_response
from prism_edge.serve.hangup import unless_hung_up
from prism_edge.serve.metrics import Metrics, Outcome
from prism_edge.serve.service import ModelInfo, Service, TextCall, TextPiece, Writer

LOG = logging.getLogger(__name__)


@dataclass(slots=True)
class Count:
    """What the metrics will say of a request."""

    model: str = "unknown"
    method: str = "none"
    outcome: Outcome = "ok"

    def take(self, piece: TextPiece) -> None:
        if piece.parameters is not None:
            self.method = str(piece.parameters.get("plan", "unknown")).partition(":")[0]


class GenerateEdge:
    """The two endpoints."""

    def __init__(
        self, service: Service, writer: Writer, max_body_bytes: int, metrics: Metrics
    ) -> None:
        self._service = service
        self._writer = writer
        self._max_body_bytes = max_body_bytes
        self._metrics = metrics

    async def generate(self, request: Request) -> Response:
        async with self._counted(request) as count:
            info, asked, call = await self._read(request, count, stream=False)
            pieces = await unless_hung_up(request.receive, self._all(call))
            count.take(pieces[-1])
            text = "".join(piece.text for piece in pieces)
            whole = TextPiece(text=text, parameters=pieces[-1].parameters)
            return json_response(200, answer_of(info, asked.id, whole, stream=False))

    async def generate_stream(self, request: Request) -> Response:
        start_s = time.perf_counter()
        async with self._counted(request, unless_ok=True) as count:
            info, asked, call = await self._read(request, count, stream=True)
            pieces = self._writer.generate(call)
            first = await unless_hung_up(request.receive, _next(pieces))
        return _Events(info, asked, call, first, pieces, count, self._metrics, start_s)

    async def _all(self, call: TextCall) -> list[TextPiece]:
        async with aclosing(self._writer.generate(call)) as pieces:
            return [piece async for piece in pieces]

    async def _read(
        self, request: Request, count: Count, *, stream: bool
    ) -> tuple[ModelInfo, GenerateRequest, TextCall]:
        info = find_model(self._service, request)
        count.model = info.name
        body = await read_body(request, self._max_body_bytes)
        asked = decode_generate(body, stream=stream)
        call = TextCall(
            model=info.name,
            request_id=request.state.request_id,
            text=asked.text,
            parameters=asked.parameters,
            timeout_s=timeout_of(asked.timeout_us),
        )
        return info, asked, call

    @asynccontextmanager
    async def _counted(self, request: Request, *, unless_ok: bool = False) -> AsyncIterator[Count]:
        """The request is counted when it ends; with ``unless_ok`` only if it failed."""
        start_s, count = time.perf_counter(), Count()
        try:
            yield count
        except ClientDisconnect:
            count.outcome = "cancelled"
            raise
        except BaseException as error:
            count.outcome = outcome_of(error)
            raise
        finally:
            if not (unless_ok and count.outcome == "ok"):
                _report(self._metrics, count, start_s)


class _Events(Response):
    """The pieces as events, until the last, an error, or the client's end."""

    media_type = "text/event-stream"

    def __init__(
        self,
        info: ModelInfo,
        asked: GenerateRequest,
        call: TextCall,
        first: TextPiece,
        pieces: AsyncGenerator[TextPiece, None],
        count: Count,
        metrics: Metrics,
        start_s: float,
    ) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._info, self._asked, self._call = info, asked, call
        self._first, self._pieces = first, pieces
        self._count, self._metrics, self._start_s = count, metrics, start_s
        self._reported = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        head = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        try:
            async with aclosing(self._pieces):
                await send(head)
                await unless_hung_up(receive, self._send_all(send))
        except ClientDisconnect:
            self._count.outcome = "cancelled"
        finally:
            self._report()

    async def _send_all(self, send: Send) -> None:
        async def body(data: bytes, *, more: bool = True) -> None:
            await send({"type": "http.response.body", "body": data, "more_body": more})

        try:
            await body(self._event(self._first))
            async for piece in self._pieces:
                await body(self._event(piece))
        except PrismError as error:
            self._count.outcome = outcome_of(error)
            await body(event({"error": str(error)}))
        except Exception:
            request_id, self._count.outcome = self._call.request_id, "error"
            LOG.exception("stream failed id=%s model=%s", request_id, self._info.name)
            said = f"internal error; the daemon's log says more about request {request_id}"
            await body(event({"error": said}))
        self._report()  # before the client knows that it has all
        await body(b"", more=False)

    def _report(self) -> None:
        if not self._reported:
            self._reported = True
            _report(self._metrics, self._count, self._start_s)

    def _event(self, piece: TextPiece) -> bytes:
        self._count.take(piece)
        return event(answer_of(self._info, self._asked.id, piece, stream=True))


async def _next(pieces: AsyncGenerator[TextPiece, None]) -> TextPiece:
    return await anext(pieces)


def _report(metrics: Metrics, count: Count, start_s: float) -> None:
    duration_s = time.perf_counter() - start_s
    metrics.request(
        model=count.model, method=count.method, outcome=count.outcome, duration_s=duration_s
    )
