"""Timing the link between ranks with the production transport: mutual exchanges, and one way.

A probe is a request with an empty model name; its one tensor is named after what is probed. The
leader starts every repeat with a round trip of one byte, so that nobody's start is in the figure.
"""

from __future__ import annotations

import struct
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, get_args

import torch

from prism_edge.errors import InputError, OutOfStepError
from prism_edge.plan import LOCAL
from prism_edge.transport import Transport
from prism_edge.wire import Header

Operation = Literal["oneway", "exchange"]
PROBE = ""  # the model name no model can have
REPORT = struct.Struct("<dd")  # seconds, and seconds of the processor
LOAD_SHAPE = (197, 768, 3072)  # tokens, width, inner width of a vision transformer's block


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """``exchange``: every rank of ``ranks`` sends ``bytes`` to each other one. ``oneway``: the
    first sends them to the second; one of the two is rank 0. ``loaded``: all of them compute."""

    operation: Operation
    ranks: tuple[int, ...]
    bytes: int
    loaded: bool = False

    def __post_init__(self) -> None:
        if self.operation not in get_args(Operation):
            raise InputError(f"operation {self.operation!r}, allowed is oneway or exchange")
        if self.operation == "oneway" and (len(self.ranks) != 2 or 0 not in self.ranks):
            raise InputError(f"oneway between ranks {self.ranks}: rank 0 has to be one of two")

    def header(self, repeats: int) -> Header:
        """What the ranks are told."""
        ranks = "+".join(map(str, self.ranks))
        name = f"{self.operation}/{ranks}/{'loaded' if self.loaded else 'idle'}"
        return Header(PROBE, LOCAL, repeats, 1, None, ((name, "u8", (self.bytes,)),))

    @classmethod
    def of(cls, header: Header) -> Probe:
        """The probe a header asks for. Raises ``OutOfStepError``."""
        name, _, _ = header.tensors[0]
        try:
            operation, ranks, load = name.split("/")
            return cls(
                operation="oneway" if operation == "oneway" else "exchange",
                ranks=tuple(int(rank) for rank in ranks.split("+")),
                bytes=header.body_bytes,
                loaded=load == "loaded",
            )
        except (ValueError, InputError) as error:
            raise OutOfStepError(f"rank 0 asks for a probe {name!r} that does not parse") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Echo:
    """One repeat. ``seconds``: the mean over the ranks, each from its own launch until it is
    through: who was launched a little later waited as much less. ``cpu_s``: of the processor, mean
    over the ranks; None where they computed besides."""

    seconds: float
    cpu_s: float | None


def lead_echo(group: Transport, probe: Probe, repeats: int) -> list[Echo]:
    """The repeats of a probe, led by rank 0, which need not take part in an exchange.

    ``oneway``: the way back is one byte, and half of the quickest round trip of one byte is taken
    off; so all that depends on the bytes is this direction's.
    """
    workers = [rank for rank in probe.ranks if rank != 0]
    group.begin(dict.fromkeys(workers, probe.header(repeats).encode()), {}).wait()
    own = 0 in probe.ranks
    echoes, trips_s = [], []
    with _load(probe.loaded and own):
        for _ in range(repeats):
            start_s = time.monotonic()
            group.begin(dict.fromkeys(workers, _bytes(1)), dict.fromkeys(workers, 1)).wait()
            trips_s.append(time.monotonic() - start_s)
            reports = [_timed(group, probe)] if own else []
            if probe.operation == "exchange":
                heard = group.begin({}, dict.fromkeys(workers, REPORT.size)).wait()
                reports += [REPORT.unpack(heard[rank].numpy().tobytes()) for rank in workers]
            echoes.append(_mean(reports, probe.loaded))
    if probe.operation == "exchange":
        return echoes
    back_s = min(trips_s) / 2
    return [Echo(seconds=max(echo.seconds - back_s, back_s), cpu_s=echo.cpu_s) for echo in echoes]


def follow_echo(header: Header, group: Transport) -> None:
    """Another rank's side of ``lead_echo``."""
    probe = Probe.of(header)
    with _load(probe.loaded):
        for _ in range(header.batch):
            group.begin({}, {0: 1}).wait()
            group.begin({0: _bytes(1)}, {}).wait()
            if probe.operation == "exchange":
                report = bytearray(REPORT.pack(*_timed(group, probe)))
                group.begin({0: torch.frombuffer(report, dtype=torch.uint8)}, {}).wait()
            else:
                receives, sends = _oneway(probe, group.rank)
                group.begin({}, {0: receives}).wait()
                group.begin({0: _bytes(sends)}, {}).wait()


def _timed(group: Transport, probe: Probe) -> tuple[float, float]:
    """Seconds of this rank's part, and what it took of the processor."""
    peers = [rank for rank in probe.ranks if rank != group.rank]
    sends, receives = probe.bytes, probe.bytes
    if probe.operation == "oneway":
        receives, sends = _oneway(probe, group.rank)
    payload = _bytes(sends)
    start_s, start_cpu_s = time.monotonic(), time.process_time()
    group.begin(dict.fromkeys(peers, payload), dict.fromkeys(peers, receives)).wait()
    return time.monotonic() - start_s, time.process_time() - start_cpu_s


def _oneway(probe: Probe, rank: int) -> tuple[int, int]:
    """How many bytes a rank receives and sends."""
    return (1, probe.bytes) if probe.ranks[0] == rank else (probe.bytes, 1)


def _mean(reports: Sequence[tuple[float, ...]], loaded: bool) -> Echo:
    seconds, cpu_s = (sum(values) / len(reports) for values in zip(*reports, strict=True))
    return Echo(seconds=seconds, cpu_s=None if loaded else cpu_s)


def _bytes(size: int) -> torch.Tensor:
    return torch.zeros(size, dtype=torch.uint8)


@contextmanager
def _load(wanted: bool) -> Iterator[None]:
    """This process computes meanwhile, in a thread of its own, as a block's feed-forward does."""
    if not wanted:
        yield
        return
    tokens, width, inner = LOAD_SHAPE
    rows, weight = torch.ones(tokens, width), torch.ones(width, inner)
    over = threading.Event()

    def compute() -> None:
        while not over.is_set():
            torch.mm(rows, weight)

    thread = threading.Thread(target=compute, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
