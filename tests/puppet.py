"""Other processes in the hands of a test: they do what they are told and never outlive it."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from prism_edge.errors import PeerLostError, PrismError
from prism_edge.families import load
from prism_edge.families.model import Model
from prism_edge.request import follow
from prism_edge.transport.gloo import Gloo

ADDRESS = "127.0.0.1"
PATIENCE_S = 60.0  # the longest a healthy process may take on a busy machine


class Refused(Exception):
    """The puppet answered with an error of ours; the message starts with its class."""


class Puppet:
    """A process that runs the methods of an ``Actor`` one after another."""

    def __init__(self, port: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self.process = context.Process(target=perform, args=(theirs, port), daemon=True)
        self.process.start()
        theirs.close()
        self._owed = 0  # answers not heard yet

    def tell(self, verb: str, *args: Any, **options: Any) -> None:
        """Ask without waiting; ``hear`` takes the answer."""
        self._owed += 1
        self._pipe.send((verb, args, options))

    def hear(self) -> Any:
        if not self._pipe.poll(PATIENCE_S):
            raise TimeoutError("the puppet does not answer")
        kind, value = self._pipe.recv()
        self._owed -= 1
        if kind == "error":
            raise Refused(value)
        return value

    def ask(self, verb: str, *args: Any, **options: Any) -> Any:
        self.tell(verb, *args, **options)
        return self.hear()

    def settle(self) -> None:
        """Hear whatever a test that failed has left unheard, so that only it fails."""
        while self._owed:
            with suppress(Refused):
                self.hear()

    def signal(self, number: signal.Signals) -> None:
        assert self.process.pid is not None
        os.kill(self.process.pid, number)

    def kill(self) -> None:
        """As by the kernel: no farewell."""
        self.process.kill()
        self.process.join()

    def close(self) -> None:
        self._pipe.close()
        self.process.join(timeout=5)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.process.close()


@contextmanager
def puppets(count: int, port: int) -> Iterator[list[Puppet]]:
    """That many processes that can join groups over the store at ``port``, started together."""
    with ExitStack() as stack:
        started = []
        for _ in range(count):
            started.append(Puppet(port))
            stack.callback(started[-1].close)
        yield started


def join(store: dist.Store, port: int, **options: Any) -> Gloo:
    """One rank's end of a group on this machine."""
    defaults = {"address": ADDRESS, "timeout_s": PATIENCE_S, "join_timeout_s": PATIENCE_S}
    return Gloo(store, port, **{**defaults, **options})


class Checkpoints(dict[str, Model]):
    """Models under a directory, loaded when first asked for."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self._root = root

    def __missing__(self, name: str) -> Model:
        self[name] = load(self._root / name)
        return self[name]


class Actor:
    """What a puppet can do."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._store = dist.TCPStore(ADDRESS, port, is_master=False, wait_for_workers=False)
        self._group: Gloo | None = None

    def join(self, **options: Any) -> None:
        if self._group is not None:
            self._group.close()
        self._group = join(self._store, self._port, **options)

    def begin(self, sends: dict[int, list[bytes]], receives: dict[int, int]) -> dict[int, bytes]:
        """All messages at once, the last of several to one rank waited for first."""
        assert self._group is not None
        pending = [
            self._group.begin({rank: torch.frombuffer(bytearray(data), dtype=torch.uint8)}, {})
            for rank, several in sends.items()
            for data in several
        ]
        payloads = self._group.begin({}, receives).wait()
        answer = {rank: payload.numpy().tobytes() for rank, payload in payloads.items()}
        for message in reversed(pending):
            message.wait()
        return answer

    def follow(self, models: dict[str, Model]) -> str:
        """Serve as a worker until the group is left; the error that ended it."""
        assert self._group is not None
        while True:
            try:
                follow(models, self._group)
            except PeerLostError as error:
                return str(error)

    def skip(self, rank: int) -> None:
        """As if a message to ``rank`` had been lost on the way."""
        assert self._group is not None
        self._group._next("send", rank)

    def sent_bytes(self) -> int:
        assert self._group is not None
        return self._group.sent_bytes


def perform(pipe: Connection, port: int) -> None:
    """The life of a puppet."""
    torch.set_num_threads(1)
    actor = Actor(port)
    while True:
        try:
            verb, args, options = pipe.recv()
        except (EOFError, ConnectionResetError):  # the test is over, or has failed
            return
        try:
            pipe.send(("done", getattr(actor, verb)(*args, **options)))
        except PrismError as error:
            pipe.send(("error", f"{type(error).__name__}: {error}"))
