"""What a message takes between a device and the host memory that GLOO sends from: staging."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import product

from prism_edge.profile.engines import Engines
from prism_edge.profile.measured import Measured
from prism_edge.tables import StagingRow
from prism_edge.tables.staging_rule import DIRECTIONS

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
