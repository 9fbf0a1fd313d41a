"""One engine per host as one group: started together, asked by rank, ended together.

The profiler, ``bench`` and ``infer --local-cluster`` drive engines through this file; rank 0 is the
first host.
"""

from __future__ import annotations

import os
import queue
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from prism_edge.cluster.host import Host
from prism_edge.cluster.local import LocalHost
from prism_edge.cluster.ssh_faults import FAILED
from prism_edge.engine.client import EngineClient, EngineGoneError, engine_argv
from prism_edge.engine.messages import Array, Message
from prism_edge.errors import ClusterError, ModelError
from prism_edge.layout import ModelShape
from prism_edge.settings import ModelSettings

START_S = 180.0  # a large checkpoint on a slow card
JOIN_S = 30.0
QUIET = {"TORCH_CPP_LOG_LEVEL": "ERROR"}  # it warns of every address without a host name


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel:
    """What an engine says of a model; ``inputs``: name, datatype, shape with -1 where it varies;
    ``outputs``: their names."""

    name: str
    fingerprint: str
    shape: ModelShape
    inputs: tuple[tuple[str, str, tuple[int, ...]], ...]
    outputs: tuple[str, ...]

    @property
    def generates(self) -> bool:
        """True when it continues texts: it looks back only, and scores words."""
        return self.shape.causal and "logits" in self.outputs


class Engines:
    """Running engines, by rank. Use ``start_engines``."""

    def __init__(self, hosts: Sequence[Host]) -> None:
        self.hosts = tuple(hosts)
        self.clients: list[EngineClient] = []
        self._ready: list[Message] = []
        self._events: queue.Queue[tuple[int, Message]] = queue.Queue()
        self._epoch = 0

    def start(
        self,
        models: Sequence[ModelSettings],
        devices: Sequence[tuple[str, str]],
        *,
        timeout_s: float,
        pace_file: Path | None,
    ) -> None:
        """Every engine has loaded every model. Raises ``ModelError`` or ``ClusterError``."""
        for rank, host in enumerate(self.hosts):
            device, dtype = devices[rank] if devices else ("cpu", "fp32")
            argv = engine_argv(
                models,
                address=host.address,
                leader=rank == 0,
                timeout_s=timeout_s,
                pace_file=pace_file,
                device=device,
                dtype=dtype,
            )
            process = host.popen(argv, env=QUIET, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            client = EngineClient(process, partial(self._note, rank))
            self.clients.append(client)
        self._ready = self._everyone("ready", START_S)

    @property
    def models(self) -> tuple[LoadedModel, ...]:
        """What is loaded, in the order asked for. Raises ``ClusterError`` when boards differ."""
        found = [tuple(_loaded(item) for item in ready.fields["models"]) for ready in self._ready]
        for host, models in zip(self.hosts, found, strict=True):
            for mine, theirs in zip(found[0], models, strict=True):
                if mine.fingerprint != theirs.fingerprint:
                    raise ClusterError(
                        f"board {host.name}: model {mine.name!r} differs from the one on "
                        f"{self.hosts[0].name}; copy the same checkpoint to every board"
                    )
        return found[0]

    def fact(self, rank: int, key: str) -> str:
        """What the engine says about its board: torch, device, dtype."""
        return str(self._ready[rank].fields[key])

    def paths(self, rank: int) -> Mapping[str, str | None]:
        """The ways a message can take between device and host memory there, with their faults."""
        found: Mapping[str, str | None] = self._ready[rank].fields["staging"]["paths"]
        return found

    @property
    def distributed(self) -> bool:
        """True when every board's PyTorch has GLOO."""
        return all(bool(ready.fields["gloo"]) for ready in self._ready)

    def join(self) -> None:
        """All engines are in one group. Raises ``ClusterError`` when they cannot meet."""
        self._epoch += 1
        port = self._ready[0].fields["store_port"]
        for rank, client in enumerate(self.clients):
            client.send(
                "join",
                epoch=self._epoch,
                rank=rank,
                size=len(self.hosts),
                store_host=self.hosts[0].address,
                store_port=port,
            )
        self._everyone("joined", JOIN_S)

    def leave(self) -> None:
        """Nobody is in a group; workers take orders again."""
        for client in self.clients:
            client.send("leave", epoch=self._epoch, now=True)
        self._everyone("left", JOIN_S)

    def submit(
        self, rank: int, kind: str, arrays: Mapping[str, Array] | None = None, /, **fields: Any
    ) -> Future[Message]:
        """The answer of one engine, some time."""
        return self.clients[rank].ask(kind, arrays, **fields)

    def ask(
        self,
        rank: int,
        kind: str,
        arrays: Mapping[str, Array] | None = None,
        /,
        *,
        timeout_s: float = 600.0,
        **fields: Any,
    ) -> Message:
        """The answer of one engine; raises what it raised, or ``ClusterError`` naming the board."""
        try:
            return self.submit(rank, kind, arrays, **fields).result(timeout_s)
        except EngineGoneError as error:
            why = because(self.clients[rank].process.poll())
            raise ClusterError(f"board {self.hosts[rank].name}: {error}; {why}") from error
        except FutureTimeoutError as error:
            raise ClusterError(
                f"board {self.hosts[rank].name}: no answer to {kind!r} after {timeout_s:g} s"
            ) from error

    def close(self, *, now: bool = False) -> None:
        """No engine is left; ``now``: whatever they were doing."""
        for client in self.clients:
            if now:
                client.kill()
            client.close()

    def _note(self, rank: int, message: Message) -> None:
        self._events.put((rank, message))

    def _everyone(self, kind: str, timeout_s: float) -> list[Message]:
        """One message of ``kind`` from every engine, by rank."""
        said: dict[int, Message] = {}
        deadline_s = time.monotonic() + timeout_s
        while len(said) < len(self.clients):
            try:
                rank, message = self._events.get(timeout=max(0.0, deadline_s - time.monotonic()))
            except queue.Empty:
                late = [h.name for rank, h in enumerate(self.hosts) if rank not in said]
                raise ClusterError(
                    f"board {', '.join(late)}: its engine is not {kind} after {timeout_s:g} s"
                ) from None
            name = self.hosts[rank].name
            if message.fields.get("epoch", self._epoch) != self._epoch:
                continue  # a late word on a group that is no more
            if message.kind == kind:
                said[rank] = message
            elif message.kind == "failed":
                raise ModelError(f"board {name}: {message.fields['message']}")
            elif message.kind == "left":
                raise ClusterError(f"board {name}: {message.fields['reason']}")
            elif message.kind == "gone":
                raise ClusterError(
                    f"board {name}: its engine ended with code {message.fields['code']} "
                    f"before it was {kind}; {because(message.fields['code'])}"
                )
        return [said[rank] for rank in range(len(self.clients))]


@contextmanager
def start_engines(
    hosts: Sequence[Host],
    models: Sequence[ModelSettings],
    devices: Sequence[tuple[str, str]] = (),
    *,
    timeout_s: float = 60.0,
    pace_file: Path | None = None,
) -> Iterator[Engines]:
    """Engines with their models loaded, in no group yet; none is left afterwards.

    ``devices``: device and dtype of each host, none: fp32 on CPUs. ``timeout_s``: longest silence
    inside an exchange.
    """
    engines = Engines(hosts)
    try:
        engines.start(models, devices, timeout_s=timeout_s, pace_file=pace_file)
        yield engines
    except BaseException:
        engines.close(now=True)
        raise
    engines.close()


def because(code: int | None) -> str:
    """Where to look when an engine ended with that code."""
    if code == FAILED:
        return "its SSH connection is lost: is the board on and in this network?"
    return "what it printed is above"


def local_hosts(count: int) -> list[LocalHost]:
    """That many hosts on this machine: each on a core of its own where there are several."""
    cores = sorted(os.sched_getaffinity(0))
    return [
        LocalHost(name=f"rank-{rank}", core=cores[rank % len(cores)] if count > 1 else None)
        for rank in range(count)
    ]


def _loaded(item: Mapping[str, Any]) -> LoadedModel:
    return LoadedModel(
        name=item["name"],
        fingerprint=item["fingerprint"],
        shape=ModelShape(**item["shape"]),
        inputs=tuple((name, kind, tuple(shape)) for name, kind, shape in item["inputs"]),
        outputs=tuple(name for name, _, _ in item["outputs"]),
    )
