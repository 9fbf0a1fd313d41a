"""The staging table of one machine: measured by a real engine, without a model."""

from __future__ import annotations

from pathlib import Path

import pytest

from prism_edge import tables
from prism_edge.errors import ModelError
from prism_edge.profile.measured import Measured
from prism_edge.profile.staging import measure_machine
from prism_edge.profile.transfers import STAGING_BYTES
from prism_edge.tables.staging_rule import PATHS, fastest_rule


@pytest.fixture(scope="module")
def cpu() -> tuple[tables.Profile, list[tuple[Measured, float]]]:
    told: list[tuple[Measured, float]] = []
    return measure_machine("here", "cpu", lambda *said: told.append(said)), told


@pytest.mark.gloo
def test_a_cpu_has_plain_copies_at_every_size_and_a_warning(
    cpu: tuple[tables.Profile, list[tuple[Measured, float]]], tmp_path: Path
) -> None:
    made, told = cpu
    assert {(row.path, row.direction) for row in made.staging} == {("copy", "d2h"), ("copy", "h2d")}
    assert sorted({row.bytes for row in made.staging}) == list(STAGING_BYTES)
    assert (STAGING_BYTES[0], STAGING_BYTES[-1]) == (4096, 16 << 20)
    assert len([True for measured, _ in told if measured.rows]) == told[0][1]
    assert "plain memory copies" in made.warnings[0]
    (board,) = made.boards
    assert (board.name, board.device) == ("here", "cpu")
    assert {"torch", "kernel"} <= set(board.facts)
    tables.write(tmp_path, made)
    assert tables.read(tmp_path) == made
    assert fastest_rule(made.staging, "here") is None


@pytest.mark.gloo
def test_a_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(ModelError, match="board here: device cuda:99"):
        measure_machine("here", "cuda:99", lambda *_: None)


@pytest.mark.gloo
@pytest.mark.gpu
def test_a_gpu_is_measured_by_every_path() -> None:
    made = measure_machine("here", "cuda", lambda *_: None)
    assert {row.path for row in made.staging} == set(PATHS)
    assert made.boards[0].device.startswith("cuda:0 ")
    assert made.warnings == ()
    assert fastest_rule(made.staging, "here") is not None
