"""Copies between device and host memory: the fastest path, none on a CPU, added to messages."""

from __future__ import annotations

import dataclasses

import pytest
from measured import VIT, profile

from prism_edge.plan import Plan
from prism_edge.schedule.cost import Prediction, costs_of, predict
from prism_edge.schedule.link import LinkState
from prism_edge.schedule.staging import Staging
from prism_edge.tables import StagingRow

SIZES = (4096, 65536, 1048576)
SLOW = LinkState(alpha_s=0.0, bandwidth_bps=1e6, source="given")


def rows(path: str, alpha_s: float, byte_s: float, board: str = "edge-1") -> list[StagingRow]:
    return [
        StagingRow(
            board=board,
            path=path,
            direction=direction,
            bytes=size,
            repeat=repeat,
            latency_s=alpha_s + byte_s * size,
        )
        for size in SIZES
        for direction in ("d2h", "h2d")
        for repeat in range(3)
    ]


def test_each_size_takes_its_fastest_path() -> None:
    # mapped memory is quick to begin and slow per byte; pinned the other way round
    staging = Staging([*rows("mapped", 1e-5, 1e-8), *rows("pinned", 1e-4, 1e-9)], "edge-1")
    assert staging.round_s(4096, 0) == pytest.approx(1e-5 + 4096e-8)
    assert staging.round_s(0, 1048576) == pytest.approx(1e-4 + 1048576e-9)
    both = staging.round_s(4096, 0) + staging.round_s(0, 1048576)
    assert staging.round_s(4096, 1048576) == pytest.approx(both)


def test_a_cpu_and_an_unmeasured_board_stage_nothing() -> None:
    assert Staging(rows("copy", 1e-3, 1e-9), "edge-1").round_s(65536, 65536) == 0.0
    assert Staging(rows("pinned", 1e-3, 1e-9), "edge-2").round_s(65536, 65536) == 0.0


def test_every_exposed_exchange_pays_for_the_slowest_board() -> None:
    text = "prism:p=2,l=10,dtype=fp32"
    made = profile()
    free, staged, copied = (
        predict(
            costs_of(dataclasses.replace(made, staging=tuple(table)), "net"),
            Plan.parse(text),
            2,
            VIT.tokens,
            SLOW,
        )
        for table in ((), rows("pinned", 1e-3, 0.0, "edge-2"), rows("copy", 1e-3, 0.0, "edge-2"))
    )
    assert isinstance(free, Prediction)
    assert isinstance(staged, Prediction)
    # 11 exchanges; in 10 a worker stages both ways, in the last it only sends
    assert staged.latency_s - free.latency_s == pytest.approx(10 * 2e-3 + 1e-3)
    assert isinstance(copied, Prediction)
    assert copied.latency_s == free.latency_s
