"""The daemon's HTTP edge: Open Inference Protocol v2, metrics, status and a page.

A request is read, decoded, handed to the service and encoded; nothing here decides anything. Every
error is ``{"error": "..."}``. ``docs/http-api.md`` is this file in words.
"""

import time
from collections.abc import Sequence

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, Response

import prism_edge
from prism_edge.errors import DeadlineError, SettingsError, UnavailableError
from prism_edge.serve import oip
from prism_edge.serve.answers import (
    ANSWERS,
    always,
    answered,
    find_model,
    outcome_of,
    refused,
    timeout_of,
)
from prism_edge.serve.body import Room, read_body
from prism_edge.serve.docs_page import POLICY, render_docs
from prism_edge.serve.guard import Guard, json_response
from prism_edge.serve.hangup import unless_hung_up
from prism_edge.serve.history import History
from prism_edge.serve.http_generate import GenerateEdge
from prism_edge.serve.long_json import in_turns
from prism_edge.serve.metrics import CONTENT_TYPE, Metrics, Outcome
from prism_edge.serve.openapi import document
from prism_edge.serve.page import page
from prism_edge.serve.service import InferCall, ModelInfo, Service, TensorInfo, Writer
from prism_edge.serve.snapshot import snapshots
from prism_edge.serve.watch import HEADERS, MEDIA_TYPE, Watch

EXTENSIONS = ("binary_tensor_data", "parameters")
BODIES = 4  # of the largest size that may be under way together


def create_app(
    service: Service,
    *,
    token: str | None,
    max_body_bytes: int,
    metrics: Metrics,
    release: str | None = None,
    watch: Watch | None = None,
    writer: Writer | None = None,
) -> FastAPI:
    """The application; ``token`` None leaves it open, else every path but live and the page, which
    holds no data, asks for it.

    ``release``: the deployed one that this is; None: none was deployed. ``watch``: what the page
    shows; None: what the service says, without a history. ``writer``: what continues texts, if
    anything does.
    """
    if token is not None and not token.strip():
        raise SettingsError("token: is empty; write one into the token file, or set no token file")
    watch = watch or Watch(snapshots(service, History(), cluster="prism-edge"))
    extensions = EXTENSIONS if writer is None else (*EXTENSIONS, "generate")
    edge = _Edge(service, max_body_bytes, metrics, release, watch, extensions)
    app = FastAPI(openapi_url=None, redirect_slashes=False)
    app.add_middleware(Guard, token=token, room=Room(BODIES * max_body_bytes))
    app.add_exception_handler(HTTPException, refused)
    for kind in ANSWERS:
        app.add_exception_handler(kind, answered)
    model = "/v2/models/{model}"
    for path in ("/v2", "/v2/"):
        app.add_route(path, edge.server)
    for path in (model, model + "/versions/{version}"):
        app.add_route(path, edge.model)
        app.add_route(path + "/ready", edge.model_ready)
        app.add_route(path + "/infer", edge.infer, methods=["POST"])
        if writer is not None:
            texts = GenerateEdge(service, writer, max_body_bytes, metrics)
            app.add_route(path + "/generate", texts.generate, methods=["POST"])
            app.add_route(path + "/generate_stream", texts.generate_stream, methods=["POST"])
    app.add_route("/v2/health/live", edge.live)
    app.add_route("/v2/health/ready", edge.ready)
    app.add_route("/v2/repository/index", edge.index, methods=["POST"])
    app.add_route("/metrics", edge.metrics)
    app.add_route("/status", edge.status)
    app.add_route("/", edge.page)
    app.add_route("/events", edge.events)
    api = document(prism_edge.__version__, secured=token is not None)
    as_json = json_response(200, api)
    as_page = HTMLResponse(render_docs(api), headers={"Content-Security-Policy": POLICY})
    app.add_route("/openapi.json", always(as_json))
    app.add_route("/docs", always(as_page))
    return app


class _Edge:
    """The endpoints."""

    def __init__(
        self,
        service: Service,
        max_body_bytes: int,
        metrics: Metrics,
        release: str | None,
        watch: Watch,
        extensions: Sequence[str],
    ) -> None:
        self._service = service
        self._max_body_bytes = max_body_bytes
        self._metrics = metrics
        self._release = release
        self._watch = watch
        self._extensions = extensions

    async def server(self, request: Request) -> Response:
        said = {
            "name": "prism-edge",
            "version": prism_edge.__version__,
            "extensions": self._extensions,
        }
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
        info = find_model(self._service, request)
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
        info = find_model(self._service, request)
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
        html, policy = page()
        headers = {
            "Content-Security-Policy": policy,
            "Cache-Control": "no-cache",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
        }
        return HTMLResponse(html, headers=headers)

    async def events(self, request: Request) -> Response:
        if request.method == "HEAD":  # a stream that nobody reads would not end
            return Response(headers=HEADERS, media_type=MEDIA_TYPE)
        return self._watch.stream()

    async def infer(self, request: Request) -> Response:
        start_s = time.perf_counter()
        name, method = "unknown", "none"
        outcome: Outcome = "ok"
        try:
            info = find_model(self._service, request)
            name = info.name
            response, method = await self._infer(request, info, start_s)
            return response
        except ClientDisconnect:
            outcome = "cancelled"
            return Response(status_code=499)  # nobody reads it
        except BaseException as error:
            outcome = outcome_of(error)
            raise
        finally:
            self._metrics.request(
                model=name,
                method=method,
                outcome=outcome,
                duration_s=time.perf_counter() - start_s,
            )

    async def _infer(
        self, request: Request, info: ModelInfo, start_s: float
    ) -> tuple[Response, str]:
        header_length = oip.header_length(request.headers.get(oip.HEADER_LENGTH))
        body = await read_body(request, self._max_body_bytes)
        asked = await in_turns(oip.decoding(body, header_length))
        wanted = oip.wanted_outputs(asked, [tensor.name for tensor in info.outputs])
        parameters = dict(asked.parameters)
        limit_s = timeout_of(parameters.pop("timeout", None))
        if limit_s is not None:  # also for what has gone by while the body came
            limit_s -= time.perf_counter() - start_s
            if limit_s <= 0:
                raise DeadlineError("the request's limit passed before its body was here")
        call = InferCall(
            model=info.name,
            request_id=request.state.request_id,
            inputs=asked.inputs,
            timeout_s=limit_s,
            parameters=parameters,
        )
        reply = await unless_hung_up(request.receive, self._service.infer(call))
        encoded, headers = await in_turns(
            oip.encoding(
                model_name=info.name,
                model_version=info.version,
                request_id=asked.id,
                outputs=reply.outputs,
                wanted=wanted,
                parameters=reply.parameters,
            )
        )
        method = str(reply.parameters.get("plan", "unknown")).partition(":")[0]
        return Response(encoded, headers=headers), method

    def _status(self) -> dict[str, object]:
        return {**self._service.status(), "release": self._release}


def _tensor(tensor: TensorInfo) -> dict[str, object]:
    return {"name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape}
