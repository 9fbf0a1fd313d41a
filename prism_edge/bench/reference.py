"""The driver's end of the Hugging Face process on a host."""

from __future__ import annotations

import queue
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prism_edge.cluster.host import Host
from prism_edge.engine.client import EngineClient
from prism_edge.engine.messages import Array, Message
from prism_edge.errors import ClusterError, ModelError

START_S = 180.0  # importing transformers and reading a large checkpoint on a slow card
ANSWER_S = 600.0


class Reference:
    """A running Hugging Face model. Use ``start_reference``."""

    def __init__(self, client: EngineClient, version: str) -> None:
        self._client = client
        self.version = version  # of transformers

    def ask(self, kind: str, arrays: Mapping[str, Array] | None = None, **fields: Any) -> Message:
        """The answer to ``run``, ``kernel`` or ``memory``."""
        return self._client.ask(kind, arrays, **fields).result(ANSWER_S)


@contextmanager
def start_reference(host: Host, directory: Path) -> Iterator[Reference]:
    """The model of ``directory`` as transformers runs it on ``host``; it is gone afterwards.

    Raises ``ModelError`` when transformers cannot load it.
    """
    events: queue.Queue[Message] = queue.Queue()
    argv = [sys.executable, "-m", "prism_edge.bench.hugging_face", str(directory)]
    process = host.popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    client = EngineClient(process, events.put)
    try:
        try:
            said = events.get(timeout=START_S)
        except queue.Empty:
            raise ClusterError(
                f"board {host.name}: Hugging Face's {directory} is not ready after {START_S:g} s"
            ) from None
        if said.kind != "ready":
            why = said.fields.get("message", "its process ended; what it printed is above")
            raise ModelError(f"board {host.name}: transformers cannot load {directory}: {why}")
        yield Reference(client, said.fields["transformers"])
    except BaseException:
        client.kill()
        client.close()
        raise
    client.close()
