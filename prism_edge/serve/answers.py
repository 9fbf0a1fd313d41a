"""What every endpoint shares: which model a path means, and how each error answers.

Every error is ``{"error": "..."}`` with the status that its kind has here.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from prism_edge.errors import (
    DeadlineError,
    InputError,
    ModelError,
    NotFoundError,
    PlanError,
    TooLargeError,
    UnavailableError,
)
from prism_edge.serve.guard import json_response
from prism_edge.serve.metrics import Outcome
from prism_edge.serve.service import ModelInfo, Parameter, Service

# Every error with a status of its own, a kind of kind before it; anything else is a 500 that shows
# no internals.
ANSWERS: dict[type[Exception], tuple[int, Outcome]] = {
    TooLargeError: (413, "too_large"),
    InputError: (400, "invalid"),
    PlanError: (400, "invalid"),
    ModelError: (500, "error"),
    NotFoundError: (404, "not_found"),
    UnavailableError: (503, "unavailable"),
    DeadlineError: (504, "deadline"),
}


def find_model(service: Service, request: Request) -> ModelInfo:
    """The model that the path names. Raises ``NotFoundError``."""
    name, version = request.path_params["model"], request.path_params.get("version")
    models = service.models()
    for info in models:
        if info.name == name and version in (None, info.version):
            return info
    served = ", ".join(f"{info.name} (version {info.version})" for info in models) or "none"
    asked = name if version is None else f"{name} version {version}"
    raise NotFoundError(f"model {asked}: not served here; models: {served}")


def timeout_of(timeout_us: Parameter | None) -> float | None:
    """The request's own limit; the parameter ``timeout`` is in microseconds, as in Triton."""
    if timeout_us is None:
        return None
    if type(timeout_us) is not int or timeout_us < 0:
        raise InputError(f"parameter timeout: {timeout_us!r} is not a number of microseconds")
    return timeout_us / 1e6 or None


def outcome_of(error: BaseException) -> Outcome:
    if isinstance(error, asyncio.CancelledError):
        return "cancelled"
    if isinstance(error, HTTPException):
        return "too_large" if error.status_code == 413 else "invalid"
    return next((word for kind, (_, word) in ANSWERS.items() if isinstance(error, kind)), "error")


def always(response: Response) -> Callable[[Request], Awaitable[Response]]:
    """The endpoint of what never changes."""

    async def endpoint(request: Request) -> Response:
        return response

    return endpoint


async def refused(request: Request, error: Exception) -> Response:
    """What HTTP itself refuses: no such path, another method, too large, not an encoding."""
    assert isinstance(error, HTTPException)
    message = error.detail
    if error.status_code in (404, 405):
        message = f"{request.method} {request.url.path}: {message}; see docs/http-api.md"
    headers = dict(error.headers) if error.headers else None
    return json_response(error.status_code, {"error": message}, headers)


async def answered(request: Request, error: Exception) -> Response:
    status = next(status for kind, (status, _) in ANSWERS.items() if isinstance(error, kind))
    headers = {}
    if isinstance(error, UnavailableError):
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_s)))
    return json_response(status, {"error": str(error)}, headers)
