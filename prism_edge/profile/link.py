"""What it takes to get bytes from one board's memory into another's: staging, and the link itself.

The link is timed with the production transport, framing and all.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import product

from prism_edge.profile.engines import Engines
from prism_edge.profile.measured import Measured
from prism_edge.profile.sweep import Sweep
from prism_edge.tables import LinkRow, StagingRow
from prism_edge.tables.rows import LinkOp
from prism_edge.tables.staging_rule import DIRECTIONS

LINK_OPS: tuple[LinkOp, ...] = ("exchange", "oneway")
SLOW_S = 1.5  # a payload that takes longer is sent twice, and no larger one is tried
STAGING_REPEATS = 20
STAGING_BYTES = tuple(4096 << k for k in range(13))  # to 16 MiB, of a board with an accelerator


def measure_staging(
    engines: Engines, payloads: Sequence[int], done: Collection[str] = ()
) -> Iterator[Measured]:
    """Every way between device and host memory that is not ``done``, one board after another."""
    for rank, host in enumerate(engines.hosts):
        faults = engines.paths(rank)
        paths = [path for path, fault in faults.items() if fault is None]
        sizes = payloads if "copy" in paths else STAGING_BYTES
        for size, path, direction in product(sizes, paths, DIRECTIONS):
            key = f"staging/{host.name}/{path}/{direction}/{size}"
            if key in done:
                continue
            reply = engines.ask(
                rank, "stage", path=path, direction=direction, bytes=size, repeats=STAGING_REPEATS
            )
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
            text = f"staging {host.name} {path} {size} B {direction}"
            yield Measured(text=text, key=key, rows=rows)
        for path, fault in faults.items():
            if fault is not None:
                yield Measured(
                    text=f"staging {host.name} {path}",
                    warning=f"board {host.name}: staging path {path} was not measured: {fault}",
                )
        if "copy" in paths:
            yield Measured(
                text=f"staging {host.name}",
                warning=f"board {host.name} computes on its CPU: its staging rows are plain memory "
                f"copies (path copy), not transfers to an accelerator",
            )


def measure_link(engines: Engines, sweep: Sweep, done: Collection[str] = ()) -> Iterator[Measured]:
    """Payloads between the leader and each worker, one pair at a time; not what is ``done``."""
    src = engines.hosts[0].name
    for rank in range(1, len(engines.hosts)):
        dst = engines.hosts[rank].name
        for operation in LINK_OPS:
            cell = f"link/{src}/{dst}/{operation}"
            for size in sweep.payloads:
                key = f"{cell}/{size}"
                if f"{key}/slow" in done:
                    break
                if key in done:
                    continue
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
                if not slow or size == sweep.payloads[-1]:
                    yield Measured(text=text, key=key, rows=rows)
                else:
                    yield Measured(
                        text=text,
                        key=f"{key}/slow",
                        rows=rows,
                        warning=f"{text} takes {trial_s:.1f} s: larger payloads were not measured",
                    )
                    break


def _probe(engines: Engines, rank: int, operation: LinkOp, size: int, repeats: int) -> list[float]:
    reply = engines.ask(0, "probe", rank=rank, operation=operation, bytes=size, repeats=repeats)
    seconds: list[float] = reply.fields["seconds"]
    return seconds
