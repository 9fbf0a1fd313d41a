"""The HTTP edge as real clients meet it: httpx, tritonclient and bare sockets against uvicorn."""

import asyncio
import gzip
import json
import logging
import re
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import numpy as np
import pytest
import tritonclient.http as triton
import yaml
from as_documented import as_documented
from starlette.routing import Route
from tritonclient.utils import InferenceServerException

from prism_edge.errors import (
    DeadlineError,
    InputError,
    NotFoundError,
    PeerLostError,
    PlanError,
    SettingsError,
    UnavailableError,
)
from prism_edge.serve.http import create_app
from prism_edge.serve.metrics import Metrics
from prism_edge.serve.service import InferCall, InferReply, ModelInfo, Readiness, Service
from prism_edge.serve.twin import Echo

OFFICIAL = Path(__file__).parents[1] / "data" / "oip" / "open_inference_rest.yaml"
INFER = "/v2/models/echo/infer"
X = np.array([[1.5, -2.0], [0.1, 3e38]], np.float32)
ASK = {"inputs": [{"name": "x", "shape": [2, 2], "datatype": "FP32", "data": X.tolist()}]}


class Twin(Echo):
    """The twin with one thing changed: what ``infer`` does, or how ready it is."""

    def __init__(
        self,
        *,
        error: BaseException | None = None,
        readiness: Readiness | None = None,
        ready: bool = True,
    ) -> None:
        self.error = error
        self.now = readiness or Readiness(ready=True)
        self.ready = ready
        self.calls: list[InferCall] = []

    def models(self) -> list[ModelInfo]:
        return [
            ModelInfo(name=info.name, inputs=info.inputs, outputs=info.outputs, ready=self.ready)
            for info in super().models()
        ]

    def readiness(self) -> Readiness:
        return self.now

    async def infer(self, request: InferCall) -> InferReply:
        self.calls.append(request)
        if self.error is not None:
            raise self.error
        return await super().infer(request)


class Hanging(Echo):
    """Never answers; says when it was asked and when it was cancelled."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.cancelled = threading.Event()

    async def infer(self, request: InferCall) -> InferReply:
        self.asked.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        raise AssertionError("nothing sets the event")


@pytest.fixture
def client(serve: Any) -> Iterator[Callable[..., httpx.Client]]:
    """Starts a server and gives a client of it."""
    clients: list[httpx.Client] = []

    def start(service: Service | None = None, **limits: Any) -> httpx.Client:
        served = serve(service or Echo(), **limits)
        hooks = {"response": [as_documented]}
        clients.append(
            httpx.Client(base_url=served.url, timeout=30, trust_env=False, event_hooks=hooks)
        )
        return clients[-1]

    yield start
    for one in clients:
        one.close()


def fits(name: str, value: object) -> None:
    """The value is what the official document calls ``name``, with no member that it lacks."""
    components = yaml.safe_load(OFFICIAL.read_text())["components"]
    assert set(value) <= set(components["schemas"][name]["properties"])  # type: ignore[call-overload]
    schema = {"$ref": f"#/components/schemas/{name}", "components": components}
    jsonschema.Draft4Validator(schema).validate(value)


def refused(reply: httpx.Response, status: int, message: str) -> None:
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"] == "application/json"
    document = reply.json()
    assert set(document) == {"error"}
    assert re.search(message, document["error"]), document["error"]


def test_every_official_path_answers_as_its_schema_says(client: Any) -> None:
    http = client()
    paths = yaml.safe_load(OFFICIAL.read_text())["paths"]
    assert len(paths) == 6
    for template, operations in paths.items():
        path = template.format(MODEL_NAME="echo", MODEL_VERSION="1")
        for method in {"get", "post"} & set(operations):
            reply = http.request(method, path, json=ASK if method == "post" else None)
            assert reply.status_code == 200, (path, reply.text)
            content = operations[method]["responses"]["200"].get("content")
            if content:
                ref = content["application/json"]["schema"]["$ref"]
                fits(ref.rpartition("/")[2], reply.json())


def test_the_schema_check_can_fail() -> None:
    with pytest.raises(jsonschema.ValidationError, match="platform"):
        fits("metadata_model_response", {"name": "echo"})
    with pytest.raises(AssertionError):
        fits("metadata_server_error_response", {"error": "x", "detail": "y"})


@pytest.mark.parametrize("suffix", ["", "/ready", "/infer"])
def test_versioned_and_unversioned_paths_say_the_same(client: Any, suffix: str) -> None:
    http = client()
    method = "POST" if suffix == "/infer" else "GET"
    body = ASK if suffix == "/infer" else None
    plain = http.request(method, "/v2/models/echo" + suffix, json=body)
    versioned = http.request(method, "/v2/models/echo/versions/1" + suffix, json=body)
    assert plain.status_code == 200
    assert plain.json() == versioned.json()
    query = http.request(method, "/v2/models/echo" + suffix + "?version=2", json=body)
    assert query.json() == plain.json()  # a version is part of the path, nothing else
    refused(
        http.request(method, "/v2/models/echo/versions/2" + suffix, json=body),
        404,
        r"model echo version 2: not served here; models: echo \(version 1\), argmax",
    )
    refused(http.request(method, "/v2/models/no%0Ane" + suffix, json=body), 404, "model no\nne")


def test_the_documentation_names_every_path_and_metric() -> None:
    page = (Path(__file__).parents[2] / "docs" / "http-api.md").read_text()
    app = create_app(Echo(), token=None, max_body_bytes=1, metrics=Metrics())
    paths = {route.path for route in app.routes if isinstance(route, Route)}
    assert len(paths) == 17
    assert [path for path in sorted(paths) if f"`{path}`" not in page] == []
    helped = re.findall("# HELP ([a-z_]+) ", Metrics().render().decode())
    assert len(helped) == 11
    assert [name for name in helped if f"`{name}`" not in page] == []


def test_a_deployed_release_is_told_where_version_and_status_are(client: Any) -> None:
    http = client(release="0.4-abc")
    assert http.get("/v2").json()["release"] == "0.4-abc"
    assert http.get("/status").json()["release"] == "0.4-abc"


def test_metadata(client: Any) -> None:
    http = client()
    assert http.get("/v2").json() == http.get("/v2/").json()
    assert http.get("/v2").json()["extensions"] == ["binary_tensor_data", "parameters"]
    assert http.get("/v2/models/echo").json() == {
        "name": "echo",
        "versions": ["1"],
        "platform": "prism_edge",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, -1]}],
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, -1]}],
    }


@pytest.mark.parametrize(
    ("now", "status", "document"),
    [
        (Readiness(ready=True), 200, {"ready": True, "reason": None}),
        (
            Readiness(ready=True, reason="edge-2 is lost"),
            200,
            {"ready": True, "reason": "edge-2 is lost"},
        ),
        (Readiness(ready=False, reason="draining"), 503, {"ready": False, "error": "draining"}),
    ],
)
def test_ready_is_not_live(
    client: Any, now: Readiness, status: int, document: Mapping[str, object]
) -> None:
    http = client(Twin(readiness=now))
    reply = http.get("/v2/health/ready")
    assert (reply.status_code, reply.json()) == (status, document)
    assert http.get("/v2/health/live").status_code == 200


def test_a_model_that_is_not_ready(client: Any) -> None:
    http = client(Twin(ready=False))
    reply = http.get("/v2/models/echo/ready")
    assert reply.status_code == 503
    assert reply.json()["error"] == "model echo: is not ready"
    states = {row["name"]: row["state"] for row in http.post("/v2/repository/index").json()}
    assert states == {"echo": "UNAVAILABLE", "argmax": "UNAVAILABLE"}
    assert http.post("/v2/repository/index", json={"ready": True}).json() == []
    refused(http.post("/v2/repository/index", content=b"["), 400, "not JSON")


def test_json_and_binary_give_the_same_numbers(client: Any) -> None:
    http = client()
    as_json = http.post(INFER, json={**ASK, "id": "42"})
    assert as_json.json()["id"] == "42"
    assert as_json.json()["model_version"] == "1"
    assert as_json.json()["parameters"] == {"plan": "local", "why": "a twin has one board"}
    (output,) = as_json.json()["outputs"]
    header = json.dumps(
        {
            "inputs": [
                {
                    "name": "x",
                    "shape": [2, 2],
                    "datatype": "FP32",
                    "parameters": {"binary_data_size": X.nbytes},
                }
            ],
            "parameters": {"binary_data_output": True},
        }
    ).encode()
    in_bytes = http.post(
        INFER,
        content=header + X.tobytes(),
        headers={"Inference-Header-Content-Length": str(len(header))},
    )
    assert in_bytes.headers["content-type"] == "application/octet-stream"
    length = int(in_bytes.headers["Inference-Header-Content-Length"])
    (described,) = json.loads(in_bytes.content[:length])["outputs"]
    assert described == {
        "name": "y",
        "datatype": "FP32",
        "shape": [2, 2],
        "parameters": {"binary_data_size": 16},
    }
    assert in_bytes.content[length:] == X.tobytes()
    assert np.array(output["data"], np.float32).reshape(output["shape"]).tobytes() == X.tobytes()


@pytest.mark.parametrize("packed", [None, "gzip", "deflate"])
@pytest.mark.parametrize("binary_out", [True, False, None])
@pytest.mark.parametrize("binary_in", [True, False])
def test_tritonclient_gets_its_numbers_back(
    serve: Any, binary_in: bool, binary_out: bool | None, packed: str | None
) -> None:
    with triton.InferenceServerClient(serve(Echo()).address) as client:
        tensor = triton.InferInput("x", [2, 2], "FP32")
        tensor.set_data_from_numpy(X, binary_data=binary_in)
        outputs = [triton.InferRequestedOutput("y", binary_data=bool(binary_out))]
        result = client.infer(
            "echo",
            [tensor],
            request_id="7",
            outputs=None if binary_out is None else outputs,
            request_compression_algorithm=packed,
            response_compression_algorithm=packed,
        )
        assert result.as_numpy("y").tobytes() == X.tobytes()
        assert result.get_response()["id"] == "7"
        assert ("data" in result.get_output("y")) == (binary_out is False)


def test_tritonclient_sees_the_server_and_its_refusals(serve: Any) -> None:
    served = serve(Echo(), token="secret")
    bearer = {"Authorization": "Bearer secret"}
    with triton.InferenceServerClient(served.address) as client:
        assert client.is_server_live()
        assert not client.is_server_ready()  # without the token
        assert client.is_server_ready(headers=bearer)
        assert client.is_model_ready("argmax", headers=bearer)
        assert client.is_model_ready("argmax", "1", headers=bearer)
        assert not client.is_model_ready("argmax", "2", headers=bearer)
        assert client.get_server_metadata(headers=bearer)["name"] == "prism-edge"
        assert client.get_model_metadata("argmax", headers=bearer)["inputs"][0]["name"] == "logits"
        index = client.get_model_repository_index(headers=bearer)
        assert [row["name"] for row in index] == ["echo", "argmax"]
        logits = triton.InferInput("logits", [2, 2], "FP32")
        logits.set_data_from_numpy(X)
        result = client.infer("argmax", [logits], headers=bearer)
        assert result.as_numpy("label").tolist() == [0, 1]
        with pytest.raises(InferenceServerException, match="takes x, not logits"):
            client.infer("echo", [logits], headers=bearer)
        with pytest.raises(InferenceServerException, match="send the daemon's token"):
            client.infer("argmax", [logits])


def test_parameters_and_the_timeout_reach_the_service(client: Any) -> None:
    twin = Twin()
    http = client(twin)
    parameters = {"plan": "local", "timeout": 90_500_000, "flag": True, "binary_data_output": False}
    replies = [http.post(INFER, json={**ASK, "parameters": parameters, "id": "a"})]
    replies.append(http.post(INFER, json={**ASK, "parameters": {"timeout": 0}, "id": "a"}))
    first, second = twin.calls
    assert first.parameters == {"plan": "local", "flag": True}
    assert 0 < first.timeout_s <= 90.5
    assert second.timeout_s is None
    assert first.model == "echo"
    assert [call.request_id for call in twin.calls] == [r.headers["x-request-id"] for r in replies]
    assert first.request_id != second.request_id  # ours is unique whatever the client's id
    for timeout in (-1, 1.5, "1", True):
        reply = http.post(INFER, json={**ASK, "parameters": {"timeout": timeout}})
        refused(reply, 400, "parameter timeout: .* is not a number of microseconds")
    assert len(twin.calls) == 2


@pytest.mark.parametrize(
    ("error", "status", "outcome"),
    [
        (InputError("input x: wrong"), 400, "invalid"),
        (PlanError("plan p=9: three boards"), 400, "invalid"),
        (NotFoundError("model echo: gone"), 404, "not_found"),
        (UnavailableError("queue: full"), 503, "unavailable"),
        (DeadlineError("no answer in 1 s"), 504, "deadline"),
    ],
)
def test_errors_of_the_tree_have_their_status(
    serve: Any, error: Exception, status: int, outcome: str
) -> None:
    served = serve(Twin(error=error))
    reply = httpx.post(served.url + INFER, json=ASK, trust_env=False, timeout=60)
    refused(reply, status, f"^{error}$")
    assert (reply.headers.get("retry-after") == "1") == (status == 503)
    fits("inference_error_response", reply.json())
    labels = f'method="none",model="echo",outcome="{outcome}"'
    assert f"prism_edge_requests_total{{{labels}}} 1.0" in served.metrics.render().decode()


@pytest.mark.parametrize(("retry_after_s", "header"), [(0.0, "1"), (1.2, "2"), (30.0, "30")])
def test_retry_after_is_whole_seconds(client: Any, retry_after_s: float, header: str) -> None:
    http = client(Twin(error=UnavailableError("loading", retry_after_s)))
    assert http.post(INFER, json=ASK).headers["retry-after"] == header


@pytest.mark.parametrize("error", [RuntimeError("secret detail"), PeerLostError("secret detail")])
def test_a_crash_shows_an_id_and_nothing_else(
    client: Any, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    http = client(Twin(error=error))
    with caplog.at_level(logging.ERROR):
        reply = http.post(INFER, json=ASK)
    request_id = reply.headers["x-request-id"]
    refused(reply, 500, f"^internal error; the daemon's log says more about request {request_id}$")
    (record,) = caplog.records  # once, with its traceback
    assert request_id in record.getMessage()
    assert record.exc_info is not None
    assert "secret detail" in str(record.exc_info[1])
    assert http.get("/v2/health/ready").status_code == 200


def test_work_dropped_by_the_service_is_unavailable(client: Any) -> None:
    reply = client(Twin(error=asyncio.CancelledError())).post(INFER, json=ASK)
    refused(reply, 503, "dropped this request.*send it again")


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("GET", "/nothing", 404, "^GET /nothing: Not Found"),
        ("GET", "/v2/health/live/", 404, "Not Found"),
        ("GET", "/redoc", 404, "Not Found"),
        ("GET", INFER, 405, f"^GET {INFER}: Method Not Allowed"),
        ("POST", "/v2", 405, "Method Not Allowed"),
        ("DELETE", "/metrics", 405, "Method Not Allowed"),
        ("POST", INFER, 400, "the request is not JSON"),
    ],
)
def test_what_http_refuses_is_json_too(
    client: Any, method: str, path: str, status: int, message: str
) -> None:
    reply = client().request(method, path)
    refused(reply, status, message)
    assert ("allow" in reply.headers) == (status == 405)


def test_an_output_the_model_lacks_is_refused_before_any_work(client: Any) -> None:
    twin = Twin()
    reply = client(twin).post(INFER, json={**ASK, "outputs": [{"name": "z"}]})
    refused(reply, 400, "output 'z': the model gives y")
    assert twin.calls == []


def test_only_the_token_opens(client: Any) -> None:
    http = client(token="sécret")
    paths = ("/v2", "/v2/health/ready", "/metrics", "/status", "/events", "/v2/health/live/")
    given = (None, "Bearer", "Bearer secret", "Basic sécret", "sécret", "Bearer sécret2")
    for authorization in given:
        headers = {} if authorization is None else {"Authorization": authorization.encode()}
        for path in paths:
            reply = http.get(path, headers=headers)
            refused(reply, 401, "Authorization: Bearer TOKEN")
            assert reply.headers["www-authenticate"] == "Bearer"
        refused(http.post(INFER, json=ASK, headers=headers), 401, "token")
        for path in ("/v2/health/live", "/"):
            assert http.get(path, headers=headers).status_code == 200
    for scheme in ("Bearer", "bearer"):
        headers = {"Authorization": f"{scheme} sécret".encode()}
        assert http.get("/v2/health/ready", headers=headers).status_code == 200
        assert http.post(INFER, json=ASK, headers=headers).status_code == 200
    twice = [("Authorization", b"Bearer s\xc3\xa9cret"), ("Authorization", b"Bearer x")]
    assert http.get("/status", headers=twice).status_code == 401


def test_an_empty_token_would_open_to_anyone() -> None:
    with pytest.raises(SettingsError, match="token: is empty"):
        create_app(Echo(), token=" ", max_body_bytes=1, metrics=Metrics())


@pytest.mark.parametrize("size", [1025, 2048, 2049, 1 << 22])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_the_limit_is_413(client: Any, size: int, chunked: bool) -> None:
    http = client(max_body_bytes=1024)
    blob = b" " * size
    content = (blob[at : at + 1000] for at in range(0, size, 1000)) if chunked else blob
    refused(http.post(INFER, content=content), 413, "larger than this server takes, 1024 bytes")
    assert http.post(INFER, json=ASK).status_code == 200


def test_a_body_at_the_limit_is_taken(client: Any) -> None:
    body = json.dumps(ASK).encode()
    http = client(max_body_bytes=len(body))
    assert http.post(INFER, content=body).status_code == 200
    assert http.post(INFER, content=iter([body[:7], body[7:]])).status_code == 200
    refused(http.post(INFER, content=body + b" "), 413, "larger")


@pytest.mark.parametrize(
    ("encoding", "content", "status", "message"),
    [
        ("gzip", gzip.compress(b" " * 2000), 413, "larger"),
        ("deflate", zlib.compress(b" " * 2000), 413, "larger"),
        ("gzip", gzip.compress(json.dumps(ASK).encode())[:-1], 400, "cut short"),
        ("gzip", gzip.compress(b"{}") + b"more", 400, "something follows"),
        ("gzip", b"{}", 400, "not what its Content-Encoding says"),
        ("gzip", b"", 400, "cut short"),
        ("br", b"{}", 415, "Content-Encoding 'br': send gzip, deflate or no encoding"),
        ("gzip, gzip", gzip.compress(gzip.compress(b"{}")), 415, "gzip, gzip"),
    ],
)
def test_packed_bodies_are_bounded_and_checked(
    client: Any, encoding: str, content: bytes, status: int, message: str
) -> None:
    http = client(max_body_bytes=1024)
    reply = http.post(INFER, content=content, headers={"Content-Encoding": encoding})
    refused(reply, status, message)
    packed = gzip.compress(json.dumps(ASK).encode())
    reply = http.post(INFER, content=packed, headers={"Content-Encoding": "gzip"})
    assert reply.status_code == 200


def request_bytes(port: int) -> bytes:
    body = json.dumps(ASK).encode()
    head = f"POST {INFER} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def test_a_client_that_hangs_up_cancels_its_request(serve: Any) -> None:
    twin = Hanging()
    served = serve(twin)
    with socket.create_connection(("127.0.0.1", served.port)) as connection:
        connection.sendall(request_bytes(served.port))
        assert twin.asked.wait(30)
        assert not twin.cancelled.is_set()
    assert twin.cancelled.wait(30)


def test_bodies_that_wait_for_answers_leave_no_room_for_more(serve: Any) -> None:
    twin = Hanging()
    body = json.dumps(ASK).encode()
    served = serve(twin, max_body_bytes=len(body))
    url = served.url + INFER
    with ExitStack() as stack:
        for _ in range(4):
            twin.asked.clear()
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", served.port)))
            connection.sendall(request_bytes(served.port))
            assert twin.asked.wait(30)
        reply = httpx.post(url, content=body, trust_env=False, timeout=60)
        refused(reply, 503, f"hold {4 * len(body)} of {4 * len(body)} bytes for bodies")
        assert reply.headers["retry-after"] == "1"
        twin.cancelled.clear()
    assert twin.cancelled.wait(30)
    twin.infer = Echo().infer  # type: ignore[method-assign]
    replies = iter(
        lambda: httpx.post(url, content=body, trust_env=False, timeout=60).status_code, 200
    )
    assert set(replies) <= {503}  # until all four have gone


def test_a_client_that_hangs_up_in_its_body_leaves_the_server_well(serve: Any) -> None:
    twin = Twin()
    served = serve(twin)
    with socket.create_connection(("127.0.0.1", served.port)) as connection:
        connection.sendall(request_bytes(served.port)[:-5])
    assert httpx.post(served.url + INFER, json=ASK, trust_env=False, timeout=60).status_code == 200
    assert len(twin.calls) == 1


def test_metrics_and_health_answer_while_a_request_hangs(serve: Any) -> None:
    twin = Hanging()
    served = serve(twin)
    with socket.create_connection(("127.0.0.1", served.port)) as connection:
        connection.sendall(request_bytes(served.port))
        assert twin.asked.wait(30)
        for path in ("/metrics", "/v2/health/live", "/v2/health/ready", "/status", "/"):
            assert httpx.get(served.url + path, trust_env=False, timeout=60).status_code == 200


def test_a_body_that_takes_longer_than_the_request_s_own_limit_is_too_late(serve: Any) -> None:
    body = json.dumps({**ASK, "parameters": {"timeout": 50_000}}).encode()
    head = f"POST {INFER} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
    with socket.create_connection(("127.0.0.1", serve(Echo()).port), timeout=60) as connection:
        connection.sendall(f"{head}Expect: 100-continue\r\n\r\n".encode())
        answers = connection.makefile("rb")
        assert b" 100 " in answers.readline()  # it waits for the body
        assert answers.readline() == b"\r\n"
        time.sleep(0.1)
        connection.sendall(body)
        assert b" 504 " in answers.readline()
        assert any(b"before its body was here" in line for line in answers)


def test_one_connection_carries_many_requests(serve: Any) -> None:
    connection = HTTPConnection(serve(Echo()).address, timeout=30)
    connection.connect()
    first = connection.sock
    for path, status in [(INFER, 200), ("/v2/models/none/infer", 404), (INFER, 200)]:
        connection.request("POST", path, json.dumps(ASK))
        reply = connection.getresponse()
        assert reply.status == status
        assert reply.read()
        assert connection.sock is first  # http.client would drop it if the server had closed it
    connection.close()


@pytest.mark.parametrize("path", ["/", "/v2", "/v2/health/live", "/v2/models/echo", "/metrics"])
def test_head_is_get_without_the_body(client: Any, path: str) -> None:
    http = client()
    head, get = http.head(path), http.get(path)
    assert head.status_code == 200
    assert head.content == b""
    assert head.headers["content-type"] == get.headers["content-type"]


def test_requests_are_counted_by_model_and_method(client: Any) -> None:
    http = client()
    assert http.post(INFER, json=ASK).status_code == 200
    assert http.post("/v2/models/none/infer", json=ASK).status_code == 404
    assert http.post(INFER, content=b"x" * (1 << 21)).status_code == 413
    reply = http.get("/metrics")
    assert reply.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    for model, method, outcome in [
        ("echo", "local", "ok"),
        ("unknown", "none", "not_found"),
        ("echo", "none", "too_large"),
    ]:
        labels = f'method="{method}",model="{model}",outcome="{outcome}"'
        assert f"prism_edge_requests_total{{{labels}}} 1.0" in reply.text
    assert 'prism_edge_request_seconds_count{method="local",model="echo"} 1.0' in reply.text
