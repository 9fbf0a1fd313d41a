"""The client and our own server understand each other, and the client understands being refused."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prism_edge.errors import (
    ClusterError,
    DeadlineError,
    InputError,
    NotFoundError,
    PlanError,
    PrismError,
    UnavailableError,
    UnreachableError,
)
from prism_edge.serve.long_json import at_once
from prism_edge.serve.oip import decode_request, encoding
from prism_edge.serve.oip_client import Daemon, decode_response, encode_request, refusal
from prism_edge.serve.service import InferCall, InferReply
from prism_edge.serve.twin import Echo

X = np.array([[1.5, -2.0], [0.1, 3e38]], np.float32)


class Twin(Echo):
    """Echo that can be told to fail, and keeps what it was asked."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.calls: list[InferCall] = []

    async def infer(self, request: InferCall) -> InferReply:
        self.calls.append(request)
        if self.error is not None:
            raise self.error
        return await super().infer(request)


@pytest.mark.parametrize(
    "array",
    [
        X,
        np.arange(6, dtype=np.uint8).reshape(1, 2, 3),
        np.zeros((0, 4), np.int64),
        np.array([[True, False]]),
        np.arange(8, dtype=np.float16)[::2],
    ],
)
def test_the_server_reads_what_the_client_writes(array: np.ndarray) -> None:
    body, length = encode_request({"x": array, "again": X}, {"plan": "local"})
    asked = decode_request(body, length)
    assert asked.inputs["x"].dtype == array.dtype
    assert asked.inputs["x"].tolist() == array.tolist()
    assert asked.inputs["again"].tobytes() == X.tobytes()
    assert asked.parameters == {"plan": "local"}
    assert asked.binary_output


@pytest.mark.parametrize("binary", [True, False])
def test_the_client_reads_what_the_server_writes(binary: bool) -> None:
    body, headers = at_once(
        encoding(
            model_name="m",
            model_version="1",
            request_id=None,
            outputs={"y": X, "label": np.array([3, 4])},
            wanted={"y": binary, "label": True},
            parameters={"plan": "split:p=2", "why": "fast", "wire_bytes": 7},
        )
    )
    reply = decode_response(body, int(headers["Inference-Header-Content-Length"]))
    assert reply.outputs["y"].tobytes() == X.tobytes()
    assert reply.outputs["label"].tolist() == [3, 4]
    assert reply.parameters == {"plan": "split:p=2", "why": "fast", "wire_bytes": 7}


def test_a_daemon_answers_with_outputs_plan_and_reason(serve: Callable[..., Any]) -> None:
    twin = Twin()
    with Daemon(serve(twin).url) as daemon:
        assert [(info.name, info.shape) for info in daemon.inputs("echo")] == [("x", (-1, -1))]
        reply = daemon.infer("echo", {"x": X}, {"plan": "local"})
    assert reply.outputs["y"].tobytes() == X.tobytes()
    assert reply.parameters == {"plan": "local", "why": "a twin has one board"}
    assert twin.calls[0].parameters == {"plan": "local"}


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (InputError("x is wrong"), InputError),
        (PlanError("no such plan"), InputError),
        (UnavailableError("the queue is full"), UnavailableError),
        (DeadlineError("too late"), DeadlineError),
    ],
)
def test_a_refusal_carries_the_daemons_words(
    serve: Callable[..., Any], error: PrismError, kind: type[PrismError]
) -> None:
    url = serve(Twin(error)).url
    with Daemon(url) as daemon, pytest.raises(kind, match=str(error)) as raised:
        daemon.infer("echo", {"x": X}, {})
    assert str(raised.value).startswith(f"{url} answered ")


def test_a_model_that_is_not_there_is_named(serve: Callable[..., Any]) -> None:
    with Daemon(serve(Echo()).url) as daemon, pytest.raises(NotFoundError, match="model nope"):
        daemon.inputs("nope")


def test_a_token_is_needed_where_one_is_set(serve: Callable[..., Any]) -> None:
    url = serve(Echo(), token="secret").url
    with Daemon(url) as daemon, pytest.raises(ClusterError, match=r"401.*--token-file"):
        daemon.inputs("echo")
    with Daemon(url, token="secret") as daemon:
        assert daemon.inputs("echo")


def test_a_body_over_the_limit_is_an_input_error(serve: Callable[..., Any]) -> None:
    with (
        Daemon(serve(Echo(), max_body_bytes=1000).url) as daemon,
        pytest.raises(InputError, match="413"),
    ):
        daemon.infer("echo", {"x": np.zeros((100, 100), np.float32)}, {})


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "nonsense", "ftp://x", "http://[", ""])
def test_what_is_no_url_is_said_to_be_none(url: str) -> None:
    with Daemon(url) as daemon, pytest.raises(UnreachableError, match="http"):
        daemon.inputs("m")


@pytest.fixture
def free_port() -> Iterator[int]:
    """A port that nobody listens on while the test runs."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def test_a_port_without_a_daemon_is_unreachable(free_port: int) -> None:
    url = f"http://127.0.0.1:{free_port}"
    with Daemon(url) as daemon, pytest.raises(UnreachableError, match="is `prism-edge serve`"):
        daemon.inputs("m")


def test_a_daemon_that_says_nothing_is_not_waited_for_forever() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with (
            Daemon(url, timeout_s=0.2) as daemon,
            pytest.raises(UnreachableError, match="no answer in time"),
        ):
            daemon.inputs("m")


def test_a_proxy_of_the_environment_is_not_asked(
    serve: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, free_port: int
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port}")
    with Daemon(serve(Echo()).url) as daemon:
        assert daemon.inputs("echo")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"outputs": [{"name": "y"}]}',
        b'{"outputs": [{"name": "y", "datatype": "FP99", "shape": [1], "data": [1]}]}',
        b'{"outputs": [{"name":"y","datatype":"FP32","shape":[2],'
        b'"parameters":{"binary_data_size":8}}]}',
    ],
)
def test_an_answer_that_is_none_is_noticed(body: bytes) -> None:
    with pytest.raises((ValueError, KeyError, TypeError, InputError)):
        decode_response(body, None if b"size" not in body else len(body))


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (500, b"<html>oops</html>", "answered 500: <html>oops</html>"),
        (502, b"", "answered 502: without a word"),
        (400, json.dumps({"error": "bad x"}).encode(), "answered 400: bad x"),
        (400, b'"text"', 'answered 400: "text"'),
    ],
)
def test_any_refusal_has_a_message(status: int, body: bytes, expected: str) -> None:
    assert expected in str(refusal("http://h", status, body))


def test_a_server_of_another_kind_is_recognised(
    serve: Callable[..., Any], stage: Any, tmp_path: Path
) -> None:
    from starlette.responses import PlainTextResponse

    url = f"http://127.0.0.1:{stage.port}"
    stage.app = PlainTextResponse("hello")
    try:
        with Daemon(url) as daemon:
            with pytest.raises(ClusterError, match="Open Inference Protocol"):
                daemon.inputs("m")
            with pytest.raises(ClusterError, match="Open Inference Protocol"):
                daemon.infer("m", {"x": X}, {})
    finally:
        stage.app = None


@pytest.mark.parametrize(("again", "expected"), [("7", 7.0), (None, 1.0), ("Fri, 31 Dec", 1.0)])
def test_a_full_daemon_says_when_to_ask_again(again: str | None, expected: float) -> None:
    error = refusal("http://h", 503, b'{"error": "full"}', again)
    assert isinstance(error, UnavailableError)
    assert error.retry_after_s == expected
