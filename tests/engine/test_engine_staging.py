"""Staging is timed as asked; on a board without an accelerator it is a copy, and is called one."""

from __future__ import annotations

import pytest
import torch

from prism_edge.engine.staging import prepare, stage
from prism_edge.errors import InputError
from prism_edge.tables.staging_rule import PATHS
from prism_edge.transport.staging import HOST

CPU = torch.device("cpu")


@pytest.mark.parametrize("direction", ["d2h", "h2d"])
@pytest.mark.parametrize("repeats", [1, 4])
def test_every_repeat_but_the_first_is_timed(direction: str, repeats: int) -> None:
    seconds = stage("copy", direction, 4096, repeats, CPU)  # type: ignore[arg-type]
    assert len(seconds) == repeats
    assert all(second > 0 for second in seconds)


def test_an_unknown_direction_is_refused() -> None:
    with pytest.raises(InputError, match="'up', allowed is d2h or h2d"):
        stage("copy", "up", 4096, 1, CPU)  # type: ignore[arg-type]


@pytest.mark.parametrize("path", [*PATHS, "fast"])
def test_a_path_that_the_device_does_not_have_is_refused(path: str) -> None:
    with pytest.raises(InputError, match=f"path '{path}', allowed on cpu is copy"):
        stage(path, "d2h", 4096, 1, CPU)


def test_a_cpu_stages_nothing_and_says_so() -> None:
    staging, said = prepare("mapped", CPU)
    assert staging is HOST
    assert said == {"rule": None, "why": None, "paths": {"copy": None}}


@pytest.mark.gpu
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("direction", ["d2h", "h2d"])
@pytest.mark.parametrize("size", [4096, 16 << 20])
def test_every_path_of_a_gpu_is_timed(path: str, direction: str, size: int) -> None:
    seconds = stage(path, direction, size, 3, torch.device("cuda", 0))  # type: ignore[arg-type]
    assert len(seconds) == 3
    assert all(second > 0 for second in seconds)
    with pytest.raises(InputError, match="path 'copy', allowed on cuda:0 is gloo, pinned, mapped"):
        stage("copy", "d2h", 4096, 1, torch.device("cuda", 0))


@pytest.mark.gpu
def test_a_gpu_says_what_it_has() -> None:
    _, said = prepare("mapped:65536,pinned", torch.device("cuda", 0))
    assert said["why"] is None
    assert said["rule"] == "mapped:65536,pinned"
    assert said["paths"] == dict.fromkeys(PATHS)
