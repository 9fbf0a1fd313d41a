"""The generate extension as clients meet it, before a service that writes what it is told to."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import threading
from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest

from prism_edge.errors import DeadlineError, InputError, UnavailableError
from prism_edge.serve.http import create_app
from prism_edge.serve.metrics import Metrics
from prism_edge.serve.service import TextCall, TextPiece
from prism_edge.serve.twin import Echo

GENERATE = "/v2/models/echo/generate"
DONE = {"plan": "local", "why": "a twin"}


class Speaker:
    """Repeats the words of its text; ``fails`` says where it raises ``error``, or hangs."""

    def __init__(self, fails: int | None = None, error: Exception | None = None) -> None:
        self.calls: list[TextCall] = []
        self.hangs = threading.Event()
        self.closed = threading.Event()
        self._fails = fails
        self._error = error

    async def generate(self, request: TextCall) -> AsyncGenerator[TextPiece, None]:
        self.calls.append(request)
        words = request.text.split()
        try:
            for index, word in enumerate(words):
                if index == self._fails:
                    if self._error is not None:
                        raise self._error
                    self.hangs.set()
                    await asyncio.Event().wait()
                yield TextPiece(text=word, parameters=DONE if index == len(words) - 1 else None)
        finally:
            self.closed.set()


@pytest.fixture
def ask(stage: Any) -> Any:
    """(client, metrics) of a server before this writer."""
    clients = []

    def start(writer: Speaker | None) -> tuple[httpx.Client, Metrics]:
        metrics = Metrics()
        stage.app = create_app(
            Echo(), token=None, max_body_bytes=1 << 16, metrics=metrics, writer=writer
        )
        url = f"http://127.0.0.1:{stage.port}"
        clients.append(httpx.Client(base_url=url, trust_env=False, timeout=30))
        return clients[-1], metrics

    yield start
    for client in clients:
        client.close()
    stage.app = None


def outcomes(metrics: Metrics) -> list[str]:
    """``method outcome`` of every request to echo that was counted."""
    lines = metrics.render().decode().splitlines()
    counted = [line for line in lines if line.startswith("prism_edge_requests_total{")]
    assert all(line.endswith(" 1.0") for line in counted)
    pattern = re.compile(r'method="(\w+)".*outcome="(\w+)"')
    return [" ".join(pattern.findall(line)[0]) for line in counted]


def events(reply: httpx.Response) -> list[dict[str, Any]]:
    assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"
    blocks = reply.text.split("\n\n")
    assert blocks.pop() == ""
    assert all(block.startswith("data: ") and "\n" not in block for block in blocks)
    return [json.loads(block.removeprefix("data: ")) for block in blocks]


def test_an_answer_comes_whole(ask: Any) -> None:
    writer = Speaker()
    http, metrics = ask(writer)
    body = {
        "id": "7",
        "text_input": "a b c",
        "top_k": 3,
        "parameters": {"seed": None, "timeout": 2_000_000, "stream": False},
    }
    reply = http.post(GENERATE, json=body)
    assert reply.headers["content-type"] == "application/json"
    assert reply.json() == {
        "id": "7",
        "model_name": "echo",
        "model_version": "1",
        "text_output": "abc",
        "parameters": DONE,
    }
    (call,) = writer.calls
    assert (call.model, call.text, call.timeout_s) == ("echo", "a b c", 2.0)
    assert call.parameters == {"top_k": 3, "seed": None}
    assert call.request_id == reply.headers["x-request-id"]
    assert outcomes(metrics) == ["local ok"]


def test_an_answer_streams(ask: Any) -> None:
    http, metrics = ask(Speaker())
    reply = http.post(GENERATE + "_stream", json={"text_input": "a é c", "stream": True})
    assert reply.status_code == 200
    assert reply.headers["cache-control"] == "no-store"
    assert events(reply) == [
        {"model_name": "echo", "model_version": "1", "text_output": "a", "done": False},
        {"model_name": "echo", "model_version": "1", "text_output": "é", "done": False},
        {
            "model_name": "echo",
            "model_version": "1",
            "text_output": "c",
            "done": True,
            "parameters": DONE,
        },
    ]
    assert outcomes(metrics) == ["local ok"]


@pytest.mark.parametrize("path", [GENERATE, GENERATE + "_stream"])
@pytest.mark.parametrize(
    ("error", "status", "outcome"),
    [
        (InputError("no"), 400, "invalid"),
        (UnavailableError("full", 3.0), 503, "unavailable"),
        (DeadlineError("late"), 504, "deadline"),
    ],
)
def test_a_refusal_before_the_first_piece_has_its_status(
    path: str, error: Exception, status: int, outcome: str, ask: Any
) -> None:
    http, metrics = ask(Speaker(0, error))
    reply = http.post(path, json={"text_input": "a b"})
    assert (reply.status_code, reply.json()) == (status, {"error": str(error)})
    assert reply.headers.get("retry-after") == ("3" if status == 503 else None)
    assert outcomes(metrics) == [f"none {outcome}"]


def test_a_refusal_on_the_way_is_the_last_event(ask: Any) -> None:
    http, metrics = ask(Speaker(1, DeadlineError("late")))
    assert http.post(GENERATE, json={"text_input": "a b"}).status_code == 504
    assert outcomes(metrics) == ["none deadline"]
    http, metrics = ask(Speaker(1, DeadlineError("late")))
    first, last = events(http.post(GENERATE + "_stream", json={"text_input": "a b"}))
    assert (first["text_output"], last) == ("a", {"error": "late"})
    assert outcomes(metrics) == ["none deadline"]


def test_a_bug_on_the_way_shows_nothing_but_an_id(ask: Any, caplog: Any) -> None:
    http, metrics = ask(Speaker(1, RuntimeError("secret")))
    reply = http.post(GENERATE + "_stream", json={"text_input": "a b"})
    said = events(reply)[-1]["error"]
    assert "secret" not in said
    assert reply.headers["x-request-id"] in said
    assert "secret" in caplog.text
    assert outcomes(metrics) == ["none error"]


@pytest.mark.parametrize("fails", [0, 1])
@pytest.mark.parametrize("path", [GENERATE, GENERATE + "_stream"])
def test_a_client_that_hangs_up_ends_the_work(path: str, fails: int, ask: Any) -> None:
    writer = Speaker(fails)
    http, metrics = ask(writer)
    body = json.dumps({"text_input": "a b"})
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", http.base_url.port)) as connection:
        connection.sendall((head + body).encode())
        assert writer.hangs.wait(60)
    assert writer.closed.wait(60)
    while not outcomes(metrics):
        pass
    assert outcomes(metrics) == ["none cancelled"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "not JSON"),
        (b"[1]", "must be a JSON object"),
        (b"{}", "text_input must be a string, not None"),
        (b'{"text_input": 3}', "text_input must be a string, not 3"),
        (b'{"text_input": "\\ud800"}', "not valid Unicode"),
        (b'{"text_input": "a", "id": 3}', "id must be a string"),
        (b'{"text_input": "a", "parameters": []}', "parameters must be an object"),
        (b'{"text_input": "a", "stream": 1}', "parameter stream is 1"),
        (b'{"text_input": "a", "stream": true}', "answers stream at generate_stream"),
        (b'{"text_input": "a", "timeout": []}', "not a number of microseconds"),
        (b'{"text_input": "a", "timeout": -1}', "not a number of microseconds"),
    ],
)
def test_malformed_requests_are_refused(body: bytes, message: str, ask: Any) -> None:
    http, metrics = ask(Speaker())
    reply = http.post(GENERATE, content=body)
    assert reply.status_code == 400
    assert message in reply.json()["error"]
    assert outcomes(metrics) == ["none invalid"]


def test_a_server_that_does_not_write_says_so(ask: Any) -> None:
    http, _ = ask(None)
    assert http.post(GENERATE, json={"text_input": "a"}).status_code == 404
    assert "generate" not in http.get("/v2").json()["extensions"]
    http, _ = ask(Speaker())
    assert "generate" in http.get("/v2").json()["extensions"]
    assert http.get(GENERATE).status_code == 405
    large = {"text_input": "a" * (1 << 17)}
    assert http.post(GENERATE, json=large).status_code == 413
