"""The staging table of this machine alone: every way between a device and GLOO, by size."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import datetime, timezone

from prism_edge import __version__, tables
from prism_edge.cluster.local import LocalHost
from prism_edge.profile.conditions import board_facts, load_average
from prism_edge.profile.engines import start_engines
from prism_edge.profile.measured import Measured
from prism_edge.profile.transfers import STAGING_BYTES, measure_staging


def measure_machine(
    board: str, device: str, tell: Callable[[Measured, float], None]
) -> tables.Profile:
    """A profile with staging rows only, of ``device`` of this machine, which it calls ``board``.

    Raises ``ModelError`` when this PyTorch cannot use the device.
    """
    started = datetime.now(timezone.utc).isoformat(timespec="seconds")
    before = load_average()
    rows: list[tables.StagingRow] = []
    warnings: list[str] = []
    with start_engines([LocalHost(name=board)], [], [(device, "fp32")]) as engines:
        measurable = sum(fault is None for fault in engines.paths(0).values())
        total = float(2 * measurable * len(STAGING_BYTES))
        for measured in measure_staging(engines, STAGING_BYTES):
            rows += [row for row in measured.rows if isinstance(row, tables.StagingRow)]
            warnings += [measured.warning] if measured.warning else []
            tell(measured, total)
        about = tables.BoardInfo(
            name=board,
            device=engines.fact(0, "device"),
            facts={**board_facts(), "torch": engines.fact(0, "torch")},
        )
    return tables.Profile(
        created=started,
        version=__version__,
        cluster="staging",
        kind="boards",
        boards=(about,),
        models=(),
        conditions={
            "started": started,
            "load_average_start": before,
            "load_average_end": load_average(),
            "command": " ".join(sys.argv[1:]),
        },
        warnings=tuple(warnings),
        staging=tuple(rows),
    )
