"""Drives engines through a sweep: rows are handed on as they arrive, whatever happens later.

Order: link and staging (short, and every plan needs them), compute on all boards at once, whole
requests last. Every first pass is left out; every other one is a row.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass

import numpy as np

from prism_edge.engine.client import EngineGoneError
from prism_edge.engine.messages import Array, Message
from prism_edge.errors import ClusterError
from prism_edge.profile.engines import Engines, LoadedModel
from prism_edge.profile.sweep import Cell, Request, Sweep, shuffled
from prism_edge.tables import ComputeRow, LinkRow, RequestRow, StagingRow
from prism_edge.tables.rows import LinkOp, Row

LINK_OPS: tuple[LinkOp, ...] = ("exchange", "oneway")
SLOW_S = 1.5  # a payload that takes longer is sent twice, and no larger one is tried
STAGING_REPEATS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Something has been measured. ``weight_s``: how much of the sweep's weight it was."""

    text: str
    rows: tuple[Row, ...] = ()
    weight_s: float = 0.0
    warning: str | None = None


def measure_all(
    engines: Engines, sweep: Sweep, *, deadline_s: float, now: Callable[[], float] = time.monotonic
) -> Iterator[Measured]:
    """Every row of ``sweep``; what the deadline leaves out is told by a warning.

    Raises ``ClusterError`` when a board is lost; what was handed on before stays true.
    """
    yield from measure_staging(engines, sweep.payloads)
    together = len(engines.hosts) > 1 and engines.distributed
    if len(engines.hosts) > 1 and not together:
        yield Measured(
            text="no link", warning="a board's PyTorch has no GLOO: only compute is measured"
        )
    if together:
        engines.join()
        yield from measure_link(engines, sweep)
        engines.leave()  # a worker in a group waits for requests and takes no other orders
    yield from measure_compute(engines, sweep, deadline_s=deadline_s, now=now)
    if together:
        engines.join()
    requests = [request for request in sweep.requests if together or request.plan.p == 1]
    yield from measure_requests(
        engines,
        requests,
        rounds=sweep.request_rounds,
        seed=sweep.seed,
        deadline_s=deadline_s,
        now=now,
    )


def measure_staging(engines: Engines, payloads: Sequence[int]) -> Iterator[Measured]:
    """Copies between device and host memory, one board after another."""
    for rank, host in enumerate(engines.hosts):
        for size in payloads:
            for direction in ("d2h", "h2d"):
                reply = engines.ask(
                    rank, "stage", direction=direction, bytes=size, repeats=STAGING_REPEATS
                )
                path = reply.fields["path"]
                rows = tuple(
                    StagingRow(
                        board=host.name,
                        path=path,
                        direction=direction,
                        bytes=size,
                        repeat=repeat,
                        latency_s=seconds,
                    )
                    for repeat, seconds in enumerate(reply.fields["seconds"])
                )
                yield Measured(text=f"staging {host.name} {size} B {direction}", rows=rows)
        if path == "copy":
            yield Measured(
                text=f"staging {host.name}",
                warning=f"board {host.name} computes on its CPU: its staging rows are plain memory "
                f"copies (path copy), not transfers to an accelerator",
            )


def measure_link(engines: Engines, sweep: Sweep) -> Iterator[Measured]:
    """Payloads between the leader and each worker, one pair at a time."""
    src = engines.hosts[0].name
    for rank in range(1, len(engines.hosts)):
        dst = engines.hosts[rank].name
        for operation in LINK_OPS:
            for size in sweep.payloads:
                trial_s = _probe(engines, rank, operation, size, 2)[1]
                slow = trial_s > SLOW_S
                repeats = 2 if slow else sweep.payload_repeats
                rows = tuple(
                    LinkRow(
                        src=src,
                        dst=dst,
                        op=operation,
                        world=2,
                        bytes=size,
                        repeat=repeat,
                        latency_s=seconds,
                    )
                    for repeat, seconds in enumerate(
                        _probe(engines, rank, operation, size, repeats)
                    )
                )
                text = f"link {src} - {dst} {operation} {size} B"
                yield Measured(text=text, rows=rows)
                if slow and size != sweep.payloads[-1]:
                    yield Measured(
                        text=text,
                        warning=f"{text} takes {trial_s:.1f} s: larger payloads were not measured",
                    )
                    break


def measure_compute(
    engines: Engines, sweep: Sweep, *, deadline_s: float, now: Callable[[], float]
) -> Iterator[Measured]:
    """Every cell on every board that may play it; all boards at once, each in its own order."""
    for turn in range(sweep.rounds):
        waiting = [
            shuffled(cells, f"{sweep.seed}/{turn}/{rank}") for rank, cells in enumerate(sweep.cells)
        ]
        running: dict[Future[Message], tuple[int, Cell]] = {}
        slowest = max(
            range(len(waiting)), key=lambda rank: sum(cell.weight_s for cell in waiting[rank])
        )
        cut = 0
        for rank in range(len(waiting)):
            _next_cell(engines, rank, waiting, running)
        while running:
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                rank, cell = running.pop(future)
                name = engines.hosts[rank].name
                try:
                    seconds = future.result().fields["seconds"]
                except EngineGoneError as error:
                    raise ClusterError(f"board {name}: {error}") from error
                yield Measured(
                    text=f"compute {name} {cell.model} batch {cell.batch}, "
                    f"{cell.own} of {cell.known} tokens: {statistics.median(seconds) * 1e3:.1f} ms",
                    rows=_compute_rows(name, cell, turn, seconds),
                    weight_s=cell.weight_s if rank == slowest else 0.0,
                )
                if now() < deadline_s:
                    _next_cell(engines, rank, waiting, running)
                else:
                    cut += len(waiting[rank])
                    waiting[rank] = []
        if cut:
            yield Measured(text="compute", warning=_cut_warning(turn, cut, sweep))
            return


def measure_requests(
    engines: Engines,
    requests: Sequence[Request],
    *,
    rounds: int,
    seed: int,
    deadline_s: float,
    now: Callable[[], float],
) -> Iterator[Measured]:
    """Whole requests, each once per round in random order; one round more is not counted.

    What disturbs a machine for seconds disturbs a whole round, so ratios within rounds stay true.
    """
    models = {model.name: model for model in engines.models}
    source = random.Random(f"{seed}/requests")
    for turn in range(-1, rounds):
        for request in source.sample(requests, len(requests)):
            if now() >= deadline_s:
                yield Measured(
                    text="requests",
                    warning=f"time was up after {max(0, turn)} of {rounds} rounds of requests",
                )
                return
            text = f"request {request.model} {request.plan} batch {request.batch}"
            latency_s, fallback = answer(engines, models[request.model], request)
            if fallback is not None:
                raise ClusterError(f"{text}: {fallback}")
            yield Measured(
                text=f"{text}: {latency_s * 1e3:.1f} ms",
                rows=(_request_row(request, turn, latency_s),) if turn >= 0 else (),
                weight_s=request.weight_s,
            )


def answer(engines: Engines, model: LoadedModel, request: Request) -> tuple[float, str | None]:
    """Seconds from order to answer, and why another plan answered, if one did."""
    start_s = time.monotonic()
    reply = engines.ask(
        0,
        "run",
        inputs(model, request.batch, request.tokens),
        model=request.model,
        plan=str(request.plan),
    )
    return time.monotonic() - start_s, reply.fields["fallback"]


def inputs(model: LoadedModel, batch: int, tokens: int) -> Mapping[str, Array]:
    """Raw input of the right size: grey pixels, or the first token again and again."""
    name, _, shape = model.inputs[0]
    if model.shape.fixed_tokens:
        return {name: np.full((batch, *shape[1:]), 127, dtype=np.uint8)}
    return {name: np.zeros((batch, tokens), dtype=np.int64)}


def _next_cell(
    engines: Engines,
    rank: int,
    waiting: Sequence[list[Cell]],
    running: dict[Future[Message], tuple[int, Cell]],
) -> None:
    if not waiting[rank]:
        return
    cell = waiting[rank].pop()
    future = engines.submit(
        rank,
        "measure",
        model=cell.model,
        plan=str(cell.plan),
        rank=cell.rank,
        batch=cell.batch,
        tokens=cell.tokens,
        repeats=cell.repeats,
    )
    running[future] = rank, cell


def _compute_rows(
    board: str, cell: Cell, turn: int, seconds: Sequence[float]
) -> tuple[ComputeRow, ...]:
    return tuple(
        ComputeRow(
            board=board,
            model=cell.model,
            batch=cell.batch,
            tokens_own=cell.own,
            tokens_known=cell.known,
            dtype="fp32",
            repeat=turn * cell.repeats + index,
            latency_s=latency_s,
        )
        for index, latency_s in enumerate(seconds)
    )


def _request_row(request: Request, repeat: int, latency_s: float) -> RequestRow:
    return RequestRow(
        plan=str(request.plan),
        model=request.model,
        batch=request.batch,
        tokens=request.tokens,
        repeat=repeat,
        latency_s=latency_s,
    )


def _cut_warning(turn: int, cut: int, sweep: Sweep) -> str:
    if turn:
        return f"time was up in round {turn + 1} of {sweep.rounds} of the compute cells"
    total = sum(len(cells) for cells in sweep.cells)
    return (
        f"time was up: {cut} of {total} compute cells were not measured, and plans that need them "
        f"cannot be chosen; allow more --max-seconds or fewer --batches"
    )


def _probe(engines: Engines, rank: int, operation: LinkOp, size: int, repeats: int) -> list[float]:
    reply = engines.ask(0, "probe", rank=rank, operation=operation, bytes=size, repeats=repeats)
    seconds: list[float] = reply.fields["seconds"]
    return seconds
