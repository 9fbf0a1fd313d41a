"""Memory is what the kernel counts; weights are what the models hold, each tensor once."""

from __future__ import annotations

from pathlib import Path

import checkpoints
import pytest
import torch

from prism_edge.engine.memory import memory_of, status_bytes, weights_bytes
from prism_edge.families import load


def test_a_status_file_is_read_in_bytes() -> None:
    assert status_bytes("VmPeak:\t 9 kB\nVmHWM:\t   12 kB\nVmRSS:\t 11 kB\n", "VmHWM") == 12288


@pytest.mark.parametrize("make", [checkpoints.vit, checkpoints.bert, checkpoints.gpt2])
def test_weights_are_those_of_the_checkpoint(make: object, tmp_path: Path) -> None:
    assert callable(make)
    config, weights = make()
    model = load(checkpoints.write(tmp_path / "m", config, weights))
    held = sum(tensor.numel() * tensor.element_size() for tensor in weights.values())
    few = 64 * 4  # such as the normalisation of pixels, which no checkpoint holds
    assert held <= weights_bytes([model]) <= held + few
    assert weights_bytes([model, model]) == weights_bytes([model])


def test_a_peak_is_forgotten_on_request() -> None:
    size = 64 << 20
    passing = torch.ones(size // 4)
    del passing
    high = memory_of([], reset=True)
    low = memory_of([], reset=False)
    if not high["counted"]:
        pytest.skip("this kernel does not reset peaks")
    assert high["peak_bytes"] >= high["resident_bytes"]
    assert low["peak_bytes"] <= high["peak_bytes"] - size // 2
