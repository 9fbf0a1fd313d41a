"""``prism-edge generate`` prints what the daemon says, as it says it."""

from __future__ import annotations

import io
import json
import sys
import threading
from collections.abc import AsyncGenerator, Callable, Iterator

import pytest
import uvicorn

from prism_edge.cli import main
from prism_edge.errors import DeadlineError, InputError
from prism_edge.serve.http import create_app
from prism_edge.serve.listen import listen
from prism_edge.serve.metrics import Metrics
from prism_edge.serve.service import TextCall, TextPiece
from prism_edge.serve.twin import Echo

Run = Callable[..., tuple[int, str, str]]
DONE = {"plan": "local", "why": "a twin", "tokens": 2, "finish_reason": "length"}


class Speaker:
    """Says its text and its parameters again."""

    async def generate(self, request: TextCall) -> AsyncGenerator[TextPiece, None]:
        if request.text == "refuse":
            raise InputError("not for me")
        yield TextPiece(text=request.text)
        if request.text == "late":
            raise DeadlineError("too late")
        yield TextPiece(text=json.dumps(dict(request.parameters)), parameters=DONE)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    app = create_app(
        Echo(), token=None, max_body_bytes=1 << 20, metrics=Metrics(), writer=Speaker()
    )
    with listen("127.0.0.1", 0) as listener:
        server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """(exit code, stdout, stderr) of the command."""

    def go(*arguments: object, stdin: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["prism-edge", "generate", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        with pytest.raises(SystemExit) as caught:
            main()
        out = capsys.readouterr()
        return int(caught.value.code or 0), out.out, out.err

    return go


def test_the_answer_is_printed_and_then_how_it_came(run: Run, url: str) -> None:
    code, out, err = run("--url", url, "--model", "echo", "--text", "Once ")
    assert code == 0
    assert out == 'Once {"max_tokens": 64, "temperature": 0.0, "seed": 0}\n'
    assert err == "plan: local  why: a twin  tokens: 2  finish_reason: length\n"


def test_options_and_stdin_reach_the_daemon(run: Run, url: str) -> None:
    options = ["--max-tokens", 3, "--temperature", 0.5, "--top-k", 4, "--top-p", 0.9, "--seed", 5]
    options += ["--stop", "a", "--stop", "b", "--plan", "local", "--json"]
    code, out, _ = run("--url", url, "--model", "echo", *options, stdin="told ")
    assert code == 0
    said = json.loads(out)
    assert {name: said[name] for name in DONE} == DONE
    assert json.loads(said["text"].removeprefix("told ")) == {
        "max_tokens": 3,
        "temperature": 0.5,
        "top_k": 4,
        "top_p": 0.9,
        "seed": 5,
        "stop": ["a", "b"],
        "plan": "local",
    }


@pytest.mark.parametrize(
    ("model", "text", "message"),
    [
        ("echo", "refuse", "answered 400: not for me"),
        ("echo", "late", "too late"),
        ("other", "a", "answered 404: model other"),
    ],
)
def test_refusals_are_told(model: str, text: str, message: str, run: Run, url: str) -> None:
    code, _, err = run("--url", url, "--model", model, "--text", text)
    assert code == 1
    assert message in err


@pytest.mark.parametrize(
    ("url", "message"),
    [("http://127.0.0.1:9", "is `prism-edge serve` running"), ("boards", "not a URL")],
)
def test_nobody_there(url: str, message: str, run: Run) -> None:
    code, _, err = run("--url", url, "--model", "echo", "--text", "a")
    assert code == 1
    assert message in err
