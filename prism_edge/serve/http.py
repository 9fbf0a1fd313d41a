"""The daemon's HTTP edge: Open Inference Protocol v2, metrics, status and a page.

A request is read, decoded, handed to the service and encoded; nothing here decides anything. Every
error is ``{"error": "..."}``. ``docs/http-api.md`` is this file in words.
"""

import asyncio
import math
import time

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, Response

import prism_edge
from prism_edge.errors import (
    DeadlineError,
    InputError,
    ModelError,
    NotFoundError,
    PlanError,
    SettingsError,
    UnavailableError,
)
from prism_edge.serve import oip
from prism_edge.serve.body import read_body
from prism_edge.serve.guard import Guard, json_response
from prism_edge.serve.hangup import unless_hung_up
from prism_edge.serve.metrics import CONTENT_TYPE, Metrics, Outcome
from prism_edge.serve.page import render_page
from prism_edge.serve.service import InferCall, ModelInfo, Parameter, Service, TensorInfo

EXTENSIONS = ("binary_tensor_data", "parameters")
PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
# Every error with a status of its own; anything else is a 500 that shows no internals.
ANSWERS: dict[type[Exception], tuple[int, Outcome]] = {
    InputError: (400, "invalid"),
    PlanError: (400, "invalid"),
    ModelError: (500, "error"),
    NotFoundError: (404, "not_found"),
    UnavailableError: (503, "unavailable"),
    DeadlineError: (504, "deadline"),
}


def create_app(
    service: Service,
    *,
    token: str | None,
    max_body_bytes: int,
    metrics: Metrics,
    release: str | None = None,
) -> FastAPI:
    """The application; ``token`` None leaves it open, else every path but live asks for it.

    ``release``: the deployed one that this is; None: none was deployed.
    """
    if token is not None and not token.strip():
        raise SettingsError("token: is empty; write one into the token file, or set no token file")
    edge = _Edge(service, max_body_bytes, metrics, release)
    app = FastAPI(openapi_url=None, redirect_slashes=False)
    app.add_middleware(Guard, token=token)
    app.add_exception_handler(HTTPException, _refused)
    for kind in ANSWERS:
        app.add_exception_handler(kind, _answered)
    model = "/v2/models/{model}"
    for path in ("/v2", "/v2/"):
        app.add_route(path, edge.server)
    for path in (model, model + "/versions/{version}"):
        app.add_route(path, edge.model)
        app.add_route(path + "/ready", edge.model_ready)
        app.add_route(path + "/infer", edge.infer, methods=["POST"])
    app.add_route("/v2/health/live", edge.live)
    app.add_route("/v2/health/ready", edge.ready)
    app.add_route("/v2/repository/index", edge.index, methods=["POST"])
    app.add_route("/metrics", edge.metrics)
    app.add_route("/status", edge.status)
    app.add_route("/", edge.page)
    return app


class _Edge:
    """The endpoints."""

    def __init__(
        self, service: Service, max_body_bytes: int, metrics: Metrics, release: str | None
    ) -> None:
        self._service = service
        self._max_body_bytes = max_body_bytes
        self._metrics = metrics
        self._release = release

    async def server(self, request: Request) -> Response:
        said = {"name": "prism-edge", "version": prism_edge.__version__, "extensions": EXTENSIONS}
        # no member of the protocol: there only where it says something
        return json_response(200, said | ({"release": self._release} if self._release else {}))

    async def live(self, request: Request) -> Response:
        return json_response(200, {"live": True})

    async def ready(self, request: Request) -> Response:
        now = self._service.readiness()
        if now.ready:
            return json_response(200, {"ready": True, "reason": now.reason})
        return json_response(503, {"ready": False, "error": now.reason})

    async def model(self, request: Request) -> Response:
        info = self._find(request)
        if not info.inputs:  # known by name only, until it is loaded
            raise UnavailableError(f"model {info.name}: {info.reason}", 2.0)
        return json_response(
            200,
            {
                "name": info.name,
                "versions": [info.version],
                "platform": info.platform,
                "inputs": [_tensor(tensor) for tensor in info.inputs],
                "outputs": [_tensor(tensor) for tensor in info.outputs],
            },
        )

    async def model_ready(self, request: Request) -> Response:
        info = self._find(request)
        if info.ready:
            return json_response(200, {"name": info.name, "ready": True, "reason": info.reason})
        reason = info.reason or f"model {info.name}: is not ready"
        return json_response(503, {"name": info.name, "ready": False, "error": reason})

    async def index(self, request: Request) -> Response:
        body = await read_body(request, self._max_body_bytes)
        only_ready = oip.index_filter(body)
        return json_response(
            200,
            [
                {
                    "name": info.name,
                    "version": info.version,
                    "state": "READY" if info.ready else "UNAVAILABLE",
                    "reason": info.reason or "",
                }
                for info in self._service.models()
                if info.ready or not only_ready
            ],
        )

    async def metrics(self, request: Request) -> Response:
        return Response(self._metrics.render(), headers={"Content-Type": CONTENT_TYPE})

    async def status(self, request: Request) -> Response:
        return json_response(200, self._status())

    async def page(self, request: Request) -> Response:
        service = self._service
        html = render_page(
            prism_edge.__version__, service.readiness(), service.models(), self._status()
        )
        return HTMLResponse(html, headers={"Content-Security-Policy": PAGE_POLICY})

    async def infer(self, request: Request) -> Response:
        start_s = time.perf_counter()
        name, method = "unknown", "none"
        outcome: Outcome = "ok"
        try:
            info = self._find(request)
            name = info.name
            response, method = await self._infer(request, info)
            return response
        except ClientDisconnect:
            outcome = "cancelled"
            return Response(status_code=499)  # nobody reads it
        except BaseException as error:
            outcome = _outcome(error)
            raise
        finally:
            self._metrics.request(
                model=name,
                method=method,
                outcome=outcome,
                duration_s=time.perf_counter() - start_s,
            )

    async def _infer(self, request: Request, info: ModelInfo) -> tuple[Response, str]:
        header_length = oip.header_length(request.headers.get(oip.HEADER_LENGTH))
        body = await read_body(request, self._max_body_bytes)
        asked = oip.decode_request(body, header_length)
        wanted = oip.wanted_outputs(asked, [tensor.name for tensor in info.outputs])
        parameters = dict(asked.parameters)
        call = InferCall(
            model=info.name,
            request_id=request.state.request_id,
            inputs=asked.inputs,
            timeout_s=_timeout_s(parameters.pop("timeout", None)),
            parameters=parameters,
        )
        reply = await unless_hung_up(request.receive, self._service.infer(call))
        encoded, headers = oip.encode_response(
            model_name=info.name,
            model_version=info.version,
            request_id=asked.id,
            outputs=reply.outputs,
            wanted=wanted,
            parameters=reply.parameters,
        )
        method = str(reply.parameters.get("plan", "unknown")).partition(":")[0]
        return Response(encoded, headers=headers), method

    def _status(self) -> dict[str, object]:
        return {**self._service.status(), "release": self._release}

    def _find(self, request: Request) -> ModelInfo:
        name, version = request.path_params["model"], request.path_params.get("version")
        models = self._service.models()
        for info in models:
            if info.name == name and version in (None, info.version):
                return info
        served = ", ".join(f"{info.name} (version {info.version})" for info in models) or "none"
        asked = name if version is None else f"{name} version {version}"
        raise NotFoundError(f"model {asked}: not served here; models: {served}")


def _tensor(tensor: TensorInfo) -> dict[str, object]:
    return {"name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape}


def _timeout_s(timeout_us: Parameter | None) -> float | None:
    """The request's own limit; the parameter ``timeout`` is in microseconds, as in Triton."""
    if timeout_us is None:
        return None
    if type(timeout_us) is not int or timeout_us < 0:
        raise InputError(f"parameter timeout: {timeout_us!r} is not a number of microseconds")
    return timeout_us / 1e6 or None


def _outcome(error: BaseException) -> Outcome:
    if isinstance(error, asyncio.CancelledError):
        return "cancelled"
    if isinstance(error, HTTPException):
        return "too_large" if error.status_code == 413 else "invalid"
    return next((word for kind, (_, word) in ANSWERS.items() if isinstance(error, kind)), "error")


async def _refused(request: Request, error: Exception) -> Response:
    """What HTTP itself refuses: no such path, another method, too large, not an encoding."""
    assert isinstance(error, HTTPException)
    message = error.detail
    if error.status_code in (404, 405):
        message = f"{request.method} {request.url.path}: {message}; see docs/http-api.md"
    headers = dict(error.headers) if error.headers else None
    return json_response(error.status_code, {"error": message}, headers)


async def _answered(request: Request, error: Exception) -> Response:
    status = next(status for kind, (status, _) in ANSWERS.items() if isinstance(error, kind))
    headers = {}
    if isinstance(error, UnavailableError):
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_s)))
    return json_response(status, {"error": str(error)}, headers)
