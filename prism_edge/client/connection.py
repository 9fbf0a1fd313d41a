"""One connection to a daemon that sends ready-made requests and keeps the times.

The standard library's client, not the one that people use: a request of 150 kB to a twin took
0.47 ms through this and 1.59 ms through httpx (medians of 300, loopback, two cores at load average
5), which a benchmark would charge to the daemon.
"""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

from prism_edge.errors import UnreachableError
from prism_edge.serve.oip import HEADER_LENGTH
from prism_edge.serve.tls import trusting

# what a kept connection says when the daemon has closed it meanwhile
CLOSED = (BrokenPipeError, ConnectionResetError, http.client.RemoteDisconnected)


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """A daemon, and how to talk to it; ``timeout_s``: the longest wait for one answer."""

    url: str
    token: str | None = None
    authority: Path | None = None
    timeout_s: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What became of one request; times are monotonic.

    ``due_s``: when it had to be sent. ``status`` None: there was no answer, ``error`` says why.
    ``said``: the reply's parameters.
    """

    due_s: float
    sent_s: float
    done_s: float
    status: int | None
    error: str | None = None
    said: Mapping[str, object] = field(default_factory=dict)

    @property
    def latency_s(self) -> float:
        """From when the user wanted to send it, so a slow client cannot hide a slow daemon."""
        return self.done_s - self.due_s


class Connection:
    """A connection that is opened when it is needed; a context manager."""

    def __init__(self, where: Where) -> None:
        parts = urlsplit(where.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UnreachableError(f"{where.url}: not a URL such as http://10.0.0.1:8000")
        self._base = parts.path.rstrip("/")
        self._headers = {"Authorization": f"Bearer {where.token}"} if where.token else {}
        self._http: http.client.HTTPConnection
        if parts.scheme == "https":
            self._http = http.client.HTTPSConnection(
                parts.hostname,
                parts.port,
                timeout=where.timeout_s,
                context=trusting(where.authority),
            )
        else:
            self._http = http.client.HTTPConnection(
                parts.hostname, parts.port, timeout=where.timeout_s
            )

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def infer(self, model: str, body: bytes, header_bytes: int, due_s: float) -> Sent:
        """The request is answered, refused or lost; never raises for any of these."""
        headers = {
            **self._headers,
            HEADER_LENGTH: str(header_bytes),
            "Content-Type": "application/octet-stream",
        }
        return self._ask("POST", f"/v2/models/{model}/infer", body, headers, due_s)

    def get(self, path: str) -> Sent:
        """The same of a question without a body, which is due now."""
        return self._ask("GET", path, None, self._headers, time.monotonic())

    def _ask(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], due_s: float
    ) -> Sent:
        sent_s = time.monotonic()
        path = self._base + path
        kept = self._http.sock is not None
        try:
            try:
                response = self._reply(method, path, body, headers)
            except CLOSED:
                if not kept:
                    raise
                self._http.close()  # the daemon had done that already: nobody has read the request
                response = self._reply(method, path, body, headers)
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            self._http.close()  # the next request begins with a new one
            said = str(error) or type(error).__name__
            done_s = time.monotonic()
            return Sent(due_s=due_s, sent_s=sent_s, done_s=done_s, status=None, error=said)
        done_s = time.monotonic()
        document = _json(content, response.headers.get(HEADER_LENGTH))
        found = document.get("parameters")
        return Sent(
            due_s=due_s,
            sent_s=sent_s,
            done_s=done_s,
            status=response.status,
            error=None if response.status < 400 else str(document.get("error", "without a word")),
            said=found if isinstance(found, dict) else {},
        )

    def _reply(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> http.client.HTTPResponse:
        self._http.request(method, path, body, headers)
        return self._http.getresponse()


def _json(content: bytes, length: str | None) -> Mapping[str, object]:
    """The JSON at the start of an answer; empty where it has none."""
    try:
        document = json.loads(content[: int(length)] if length is not None else content)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
