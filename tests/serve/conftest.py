"""A real server, on a port of its own, in a thread of the test's process.

One uvicorn serves the whole session, since stopping one takes it 0.2 s; each test puts an
application of its own, with its own service and metrics, on its stage.
"""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from prism_edge.serve.accept import Server
from prism_edge.serve.connection import Connection
from prism_edge.serve.http import create_app
from prism_edge.serve.listen import listen
from prism_edge.serve.metrics import Metrics
from prism_edge.serve.service import Service


class Stage:
    """An ASGI application that is whichever one the running test put here."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.app: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert self.app is not None, "no test has put an application on the stage"
        await self.app(scope, receive, send)


@dataclass(frozen=True, kw_only=True, slots=True)
class Served:
    """Where a server listens, and what it counts."""

    port: int
    metrics: Metrics

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.address}"


@pytest.fixture(scope="session")
def stage() -> Iterator[Stage]:
    # Once it listens, clients wait in its backlog for the server: nobody needs to poll.
    with listen("127.0.0.1", 0) as listener:
        stage = Stage(listener.getsockname()[1])
        server = Server(
            uvicorn.Config(
                stage,
                http=Connection,
                ws="none",
                lifespan="off",
                log_level="warning",
                timeout_graceful_shutdown=5,
            )
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield stage
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture
def serve(stage: Stage) -> Iterator[Callable[..., Served]]:
    """Serves one service for the test: ``serve(service, token=..., max_body_bytes=...)``."""

    def start(
        service: Service,
        *,
        token: str | None = None,
        max_body_bytes: int = 1 << 20,
        release: str | None = None,
    ) -> Served:
        assert stage.app is None, "one service per test"
        metrics = Metrics()
        stage.app = create_app(
            service, token=token, max_body_bytes=max_body_bytes, metrics=metrics, release=release
        )
        return Served(port=stage.port, metrics=metrics)

    yield start
    stage.app = None


@pytest.fixture(scope="session")
def inputs_reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tokenizers, processors and images, and what Hugging Face makes of them."""
    if find_spec("transformers") is None:
        pytest.skip("needs transformers, the reference")
    root = tmp_path_factory.mktemp("inputs")
    script = Path(__file__).with_name("reference_inputs.py")
    done = subprocess.run([sys.executable, str(script), str(root)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return root
