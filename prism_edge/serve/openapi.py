"""What ``/openapi.json`` says: every path, what it takes, and every status that it may answer.

Tests hold it against the routes, against the replies of all other tests of the HTTP edge, and
with schemathesis against a running daemon.
"""

from prism_edge.serve.guard import OPEN_PATHS
from prism_edge.serve.oip import HEADER_LENGTH
from prism_edge.serve.openapi_schemas import COUNT, SCHEMAS, Schema, ref

JSON = "application/json"
BYTES = "application/octet-stream"
DESCRIPTION = """The Open Inference Protocol v2 with binary tensors, and what prism-edge adds.
HEAD is answered wherever GET is; any other method is answered by 405, any other path by 404, and
every error is a JSON object with the member error."""

ERRORS: dict[int, str] = {
    400: "The request is malformed, or does not fit the model.",
    401: "No token, or a wrong one.",
    404: "No such model or version.",
    408: "The request came too slowly.",
    413: "The body is larger than this server takes, packed or unpacked.",
    415: "A Content-Encoding other than gzip and deflate.",
    500: "The model cannot answer, or a fault of ours.",
    503: "Full, loading or draining; Retry-After says in seconds when to ask again.",
    504: "The request's limit passed.",
}
EVERYWHERE = (400, 401, 408, 500, 503)
BODY = (*EVERYWHERE, 413, 415)
MODEL = "/v2/models/{model}"


def document(version: str, *, secured: bool) -> Schema:
    """The OpenAPI 3.1 document of this version; ``secured``: a token is asked for."""
    paths = _plain_paths()
    for path, operation in _model_paths().items():
        paths[path] = {"parameters": [_in_path("model")], **operation}
        versioned = path.replace(MODEL, f"{MODEL}/versions/{{version}}")
        parameters = [_in_path("model"), _in_path("version")]
        paths[versioned] = {"parameters": parameters, **operation}
    for path in OPEN_PATHS:
        paths[path]["get"]["security"] = []  # type: ignore[index]
    bearer = {"type": "http", "scheme": "bearer"}
    return {
        "openapi": "3.1.0",
        "info": {"title": "prism-edge", "version": version, "description": DESCRIPTION},
        "servers": [{"url": "/"}],
        **({"security": [{"token": []}]} if secured else {}),
        "paths": paths,
        "components": {
            "schemas": SCHEMAS,
            "responses": {str(status): _error(status) for status in ERRORS},
            "headers": {"RequestId": {"schema": {"type": "string"}}},
            **({"securitySchemes": {"token": bearer}} if secured else {}),
        },
    }


def _plain_paths() -> dict[str, Schema]:
    server: Schema = {"get": _get("Name, version and extensions", {JSON: ref("Server")})}
    return {
        "/v2": server,
        "/v2/": server,
        "/v2/health/live": {"get": _get("The process runs", {JSON: ref("Live")})},
        "/v2/health/ready": {
            "get": _get(
                "Whether requests are taken; with a reason: degraded",
                {JSON: ref("Ready")},
                unready="NotReady",
            )
        },
        "/v2/repository/index": {
            "post": _operation(
                "Every model and its state",
                _responses({JSON: ref("Index")}, BODY),
                requestBody={"content": {JSON: {"schema": ref("IndexRequest")}}},
            )
        },
        "/metrics": {"get": _get("For Prometheus", {"text/plain": {"type": "string"}})},
        "/status": {"get": _get("Boards, epoch, link, release", {JSON: {"type": "object"}})},
        "/events": {
            "get": _get("What the live page shows, endless", {"text/event-stream": {}}),
        },
        "/": {"get": _get("The live page", {"text/html": {"type": "string"}})},
        "/docs": {"get": _get("This document, for people", {"text/html": {"type": "string"}})},
        "/openapi.json": {"get": _get("This document", {JSON: {"type": "object"}})},
    }


def _model_paths() -> dict[str, Schema]:
    found = (*EVERYWHERE, 404)
    length = {
        "name": HEADER_LENGTH,
        "in": "header",
        "description": "How many bytes of the body are JSON; without it, all.",
        "schema": COUNT,
    }
    infer = _operation(
        "One inference",
        _responses(
            {JSON: ref("InferReply"), BYTES: {"type": "string", "format": "binary"}},
            (*BODY, 404, 504),
            headers={HEADER_LENGTH: {"schema": COUNT}},
        ),
        parameters=[length],
        requestBody={
            "required": True,
            "content": {
                JSON: {"schema": ref("InferRequest")},
                BYTES: {"schema": {"type": "string", "format": "binary"}},
            },
        },
    )
    return {
        MODEL: {"get": _get("Inputs and outputs of a model", {JSON: ref("Model")}, found)},
        f"{MODEL}/ready": {
            "get": _get(
                "Whether a model is ready", {JSON: ref("ModelReady")}, found, "ModelNotReady"
            )
        },
        f"{MODEL}/infer": {"post": infer},
        f"{MODEL}/generate": {"post": _generate("A text goes on", {JSON: ref("GenerateReply")})},
        f"{MODEL}/generate_stream": {
            "post": _generate("A text goes on, token by token", {"text/event-stream": {}})
        },
    }


def _generate(summary: str, content: dict[str, Schema]) -> Schema:
    body = {"required": True, "content": {JSON: {"schema": ref("GenerateRequest")}}}
    return _operation(summary, _responses(content, (*BODY, 404, 504)), requestBody=body)


def _in_path(name: str) -> Schema:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _get(
    summary: str,
    content: dict[str, Schema],
    errors: tuple[int, ...] = EVERYWHERE,
    unready: str | None = None,
) -> Schema:
    responses = _responses(content, errors)
    if unready is not None:
        body = {JSON: {"schema": {"anyOf": [ref(unready), ref("Error")]}}}
        responses["503"] = {"description": "Not ready.", "content": body}
    return _operation(summary, responses)


def _operation(summary: str, responses: Schema, **more: object) -> Schema:
    return {"summary": summary, **more, "responses": responses}


def _responses(
    content: dict[str, Schema], errors: tuple[int, ...], headers: Schema | None = None
) -> Schema:
    return {
        "200": {
            "description": "OK",
            "headers": {
                "X-Request-Id": {"$ref": "#/components/headers/RequestId"},
                **(headers or {}),
            },
            "content": {kind: {"schema": schema} for kind, schema in content.items()},
        },
        **{str(status): {"$ref": f"#/components/responses/{status}"} for status in sorted(errors)},
    }


def _error(status: int) -> Schema:
    answer: Schema = {
        "description": ERRORS[status],
        "content": {JSON: {"schema": ref("Error")}},
    }
    if status == 503:
        answer["headers"] = {"Retry-After": {"schema": {"type": "integer", "minimum": 1}}}
    return answer
