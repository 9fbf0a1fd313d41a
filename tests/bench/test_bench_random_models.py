"""Checkpoints with random weights are made once, whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from prism_edge.bench.random_models import SIZES, cached
from prism_edge.errors import ModelError


def test_what_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "gpt2").mkdir()
    (tmp_path / "gpt2" / "model.safetensors").write_text("mine")
    assert cached("gpt2", tmp_path) == tmp_path / "gpt2"
    assert (tmp_path / "gpt2" / "model.safetensors").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["gpt2"]


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match=r"file/gpt2: cannot write the checkpoint"):
        cached("gpt2", tmp_path / "file")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "parameters"), [("bert-base", 109_483_778), ("gpt2", 124_439_808)]
)
def test_they_have_the_published_sizes(name: str, parameters: int, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from safetensors import safe_open

    directory = cached(name, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    with safe_open(str(directory / "model.safetensors"), "pt") as file:
        keys = file.keys()
        assert sum(file.get_tensor(key).numel() for key in keys) == parameters
    assert name in SIZES
