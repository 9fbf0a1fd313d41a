"""Every HTTP request has an id, a bearer token and its share of memory; a crash is a 500.

Plain ASGI, so that a hang-up still reaches the handler behind it.
"""

import hmac
import json
import logging
import uuid

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from prism_edge.serve.body import Held, Room

LOG = logging.getLogger(__name__)
# The page asks for the token itself; the last two say nothing but what the documentation does.
OPEN_PATHS = frozenset({"/v2/health/live", "/", "/docs", "/openapi.json"})


def json_response(status: int, value: object, headers: dict[str, str] | None = None) -> Response:
    """A JSON reply in plain ASCII, so that no client's text can make it unencodable."""
    body = json.dumps(value, allow_nan=False)
    return Response(body, status, headers, media_type="application/json")


class Guard:
    """An ASGI application behind ids, authorisation (None: open to all) and a last resort."""

    def __init__(self, app: ASGIApp, *, token: str | None, room: Room) -> None:
        self._app = app
        self._token = token
        self._room = room

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = uuid.uuid4().hex
        held = Held(self._room)
        scope.setdefault("state", {}).update(request_id=request_id, held=held)
        started = False

        async def send_with_id(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = [
                    *message.get("headers", []),
                    (b"x-request-id", request_id.encode()),
                ]
            await send(message)

        if not self._authorised(scope):
            refusal = json_response(
                401,
                {"error": "send the daemon's token: Authorization: Bearer TOKEN"},
                {"WWW-Authenticate": "Bearer"},
            )
            await refusal(scope, receive, send_with_id)
            return
        try:
            await self._app(scope, receive, send_with_id)
        except ClientDisconnect:
            pass  # nobody waits for a reply
        except Exception:
            LOG.exception("request failed id=%s path=%r", request_id, scope["path"])
            if started:
                raise
            message = f"internal error; the daemon's log says more about request {request_id}"
            await json_response(500, {"error": message})(scope, receive, send_with_id)
        finally:
            held.give_back()

    def _authorised(self, scope: Scope) -> bool:
        if self._token is None or scope["path"] in OPEN_PATHS:
            return True
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        scheme, _, token = (given[0] if len(given) == 1 else b"").partition(b" ")
        return scheme.lower() == b"bearer" and hmac.compare_digest(
            token.strip(), self._token.encode()
        )
