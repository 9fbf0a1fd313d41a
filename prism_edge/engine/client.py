"""The driver's end of an engine: orders out, answers as futures, everything else as events."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, InvalidStateError
from pathlib import Path
from typing import Any, BinaryIO, cast

from prism_edge.engine.messages import Array, Message, read_message, write_message
from prism_edge.errors import (
    ClusterError,
    InputError,
    ModelError,
    PeerLostError,
    PlanError,
    PrismError,
    TooLargeError,
)
from prism_edge.settings import ModelSettings
from prism_edge.tables.staging_rule import AUTO

Popen = Callable[[Sequence[str]], "subprocess.Popen[bytes]"]
PIPE_BYTES = 1 << 20  # an image in one piece, and the most that Linux gives without being asked
KINDS: dict[str, type[PrismError]] = {
    kind.__name__: kind
    for kind in (InputError, TooLargeError, PlanError, ModelError, PeerLostError)
}


def engine_argv(
    models: Sequence[ModelSettings],
    *,
    address: str,
    leader: bool,
    timeout_s: float,
    pace_file: Path | None = None,
    device: str = "cpu",
    dtype: str = "fp32",
    staging: str = AUTO,
) -> list[str]:
    """The command that starts an engine."""
    argv = [sys.executable, "-m", "prism_edge.engine.main", "--address", address]
    argv += ["--timeout", f"{timeout_s:g}"]
    argv += ["--device", device, "--dtype", dtype, "--staging", staging]
    argv += ["--leader"] if leader else []
    argv += ["--pace-file", str(pace_file)] if pace_file else []
    for model in models:
        argv += ["--model", f"{model.name}={model.path}"]
    return argv


def local_popen(argv: Sequence[str]) -> subprocess.Popen[bytes]:
    """A child of this process with pipes on stdin and stdout; stderr is shared."""
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    for stream in (process.stdin, process.stdout):
        with contextlib.suppress(OSError):  # more than this user may have: then in more pieces
            fcntl.fcntl(cast(BinaryIO, stream), fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    return process


class EngineGoneError(ClusterError):
    """The engine ended before it answered."""


class EngineClient:
    """One running engine. ``event`` gets every message that answers no order, and one of kind
    ``gone`` when the engine has ended, before any order fails for that reason; it is called from
    the reading thread. Orders never wait for the engine to read them: it may be frozen."""

    def __init__(self, process: subprocess.Popen[bytes], event: Callable[[Message], None]) -> None:
        self.process = process
        self._event = event
        self._numbers = itertools.count(1)
        self._waiting: dict[int, tuple[Future[Message], Callable[[Message], None] | None]] = {}
        self._lock = threading.Lock()
        self._gone = False
        self._orders: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._writer = threading.Thread(target=self._write, daemon=True)
        self._reader.start()
        self._writer.start()

    def send(self, kind: str, arrays: Mapping[str, Array] | None = None, **fields: Any) -> None:
        """An order without an answer. Raises ``EngineGoneError``."""
        with self._lock:
            if self._gone:
                raise EngineGoneError("the engine has ended")
            self._orders.put(Message(kind, fields, arrays or {}))

    def ask(
        self,
        kind: str,
        arrays: Mapping[str, Array] | None = None,
        part: Callable[[Message], None] | None = None,
        **fields: Any,
    ) -> Future[Message]:
        """The answer to an order; it fails with a ``PrismError`` or ``EngineGoneError``.

        ``part`` gets what comes before the answer, such as tokens, from the reading thread.
        """
        return self._ask(kind, arrays, fields, part)

    def stream(
        self, kind: str, arrays: Mapping[str, Array] | None = None, **fields: Any
    ) -> Iterator[Message]:
        """Every message that answers an order, as it comes: ``token`` ones and then its answer.
        The order is given at once; iterating raises what ``ask`` fails with."""
        parts: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        future = self._ask(kind, arrays, fields, parts.put)
        future.add_done_callback(lambda _: parts.put(None))

        def messages() -> Iterator[Message]:
            while (part := parts.get()) is not None:
                yield part
            yield future.result()

        return messages()

    def _ask(
        self,
        kind: str,
        arrays: Mapping[str, Array] | None,
        fields: Mapping[str, Any],
        part: Callable[[Message], None] | None,
    ) -> Future[Message]:
        number = next(self._numbers)
        future: Future[Message] = Future()
        with self._lock:
            self._waiting[number] = future, part
        try:
            self.send(kind, arrays, id=number, **fields)
        except EngineGoneError as error:
            with self._lock:
                self._waiting.pop(number, None)
            _settle(future, error)
        return future

    def kill(self) -> None:
        """The engine is gone, whatever it was doing."""
        self.process.kill()
        self._end()

    def close(self, timeout_s: float = 3.0) -> None:
        """The engine has ended, in order if it could."""
        try:
            self.send("stop")
            self.process.wait(timeout_s)
        except (EngineGoneError, subprocess.TimeoutExpired):
            self.process.kill()
        self._end()
        with self._lock:  # a stream closed by two threads at once is an error in Python 3.10
            for stream in (self.process.stdin, self.process.stdout):
                if stream is not None:
                    with contextlib.suppress(OSError):  # unflushed orders to an engine that is gone
                        stream.close()

    def _end(self) -> None:
        self.process.wait()
        self._orders.put(None)
        for thread in (self._reader, self._writer):
            thread.join(timeout=5)

    def _write(self) -> None:
        stream = cast(BinaryIO, self.process.stdin)
        while (message := self._orders.get()) is not None:
            try:
                write_message(stream, message)
            except (OSError, ValueError):
                return  # the engine has ended: the reader says so

    def _read(self) -> None:
        stream = cast(BinaryIO, self.process.stdout)
        try:
            while (message := read_message(stream)) is not None:
                self._take(message)
        except (EOFError, OSError, ValueError, TypeError):
            self.process.kill()  # ended in the middle of a message, or what it says is none
        code = self.process.wait()
        self._event(Message("gone", {"code": code}))
        with self._lock:
            self._gone = True
            waiting, self._waiting = self._waiting, {}
        for future, _ in waiting.values():
            _settle(future, EngineGoneError(f"the engine ended with code {code}"))

    def _take(self, message: Message) -> None:
        number = message.fields.get("id")
        if number is None:
            self._event(message)
            return
        with self._lock:
            future, part = self._waiting.get(number, (None, None))
            if message.kind != "token":
                self._waiting.pop(number, None)
        if future is None or future.done():
            return
        if message.kind == "token":
            if part is not None:
                part(message)
        elif message.kind == "error":
            kind = KINDS.get(message.fields["error"], ClusterError)
            _settle(future, kind(message.fields["message"]))
        else:
            _settle(future, message)


def _settle(future: Future[Message], answer: Message | Exception) -> None:
    """The future has its answer, unless another thread has just given it up or settled it."""
    with contextlib.suppress(InvalidStateError):
        if isinstance(answer, Message):
            future.set_result(answer)
        else:
            future.set_exception(answer)
