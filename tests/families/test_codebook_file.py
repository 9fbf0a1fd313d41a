"""Codebooks beside a model: found again, told apart, and refused where they belong elsewhere."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import checkpoints
import pytest
import torch
from nets import noise
from safetensors import safe_open
from safetensors.torch import save_file

from prism_edge.errors import ModelError
from prism_edge.families import load
from prism_edge.families.checkpoint import fingerprint
from prism_edge.families.codebook_file import (
    Fitted,
    codebook_fingerprint,
    codebook_path,
    list_codebooks,
    read_codebooks,
    write_codebooks,
)
from prism_edge.tensors.codebook import Codebooks

BOOKS = Codebooks(tables=noise(2, 4, 8, 4), tap="before")  # of a model of 2 blocks and width 16
FITTED = Fitted(samples=100, seed=3, relative_error=(0.25, 0.5))


@pytest.fixture(params=["vit", "bert", "gpt2"])
def family(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return checkpoints.write(tmp_path / "model", *getattr(checkpoints, request.param)())


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return checkpoints.write(tmp_path / "model", *checkpoints.vit())


def about(path: Path) -> dict[str, Any]:
    with safe_open(path, "pt") as file:
        found: dict[str, Any] = json.loads(file.metadata()["about"])
    return found


def rewrite(path: Path, tensors: dict[str, torch.Tensor] | None = None, **changes: str) -> None:
    kept = json.dumps({**about(path), **changes})
    save_file(tensors or {"tables": BOOKS.tables}, path, {"about": kept})


def test_what_is_written_is_read(family: Path) -> None:
    path = write_codebooks(family, BOOKS, FITTED)
    assert path == codebook_path(family, 4, 8) == family / "astra-g4-k8.safetensors"
    found = read_codebooks(family, 4, 8)
    assert torch.equal(found.tables, BOOKS.tables)
    assert found.tap == "before"
    kept = about(path)
    assert kept["model"] == fingerprint(family)
    assert (kept["samples"], kept["seed"], kept["relative_error"]) == (100, 3, [0.25, 0.5])


def test_codebooks_are_no_part_of_the_model_beside_them(family: Path) -> None:
    before, weights = fingerprint(family), load(family).blocks[0].qkv.weight
    write_codebooks(family, BOOKS, FITTED)
    assert fingerprint(family) == before
    assert torch.equal(load(family).blocks[0].qkv.weight, weights)
    (family / "config.json").write_text((family / "config.json").read_text()[:-1] + ', "x": 1}')
    assert fingerprint(family) != before


def test_files_are_told_apart_by_their_bytes(model: Path) -> None:
    path = write_codebooks(model, BOOKS, FITTED)
    first = codebook_fingerprint(path)
    assert re.fullmatch("[0-9a-f]{16}", first)
    assert codebook_fingerprint(write_codebooks(model, BOOKS, FITTED)) == first
    tables = BOOKS.tables.clone()
    tables[1, 2, 3, 0] += 1e-6
    assert codebook_fingerprint(write_codebooks(model, Codebooks(tables=tables), FITTED)) != first
    with pytest.raises(ModelError, match="gone: cannot be read"):
        codebook_fingerprint(model / "gone")


def test_the_files_of_a_model_are_listed(model: Path) -> None:
    assert list_codebooks(model) == []
    for g, k in ((16, 8), (2, 300), (2, 8)):
        write_codebooks(model, Codebooks(tables=noise(2, g, k, 16 // g)), FITTED)
    (model / "astra-notes.safetensors").write_bytes(b"")
    assert list_codebooks(model) == [(2, 8), (2, 300), (16, 8)]


def test_a_missing_file_says_what_is_there_and_what_makes_one(model: Path) -> None:
    write_codebooks(model, BOOKS, FITTED)
    with pytest.raises(ModelError) as caught:
        read_codebooks(model, 8, 8)
    said = str(caught.value)
    assert f"{model}/astra-g8-k8.safetensors: no such file (codebooks there: g=4 k=8)" in said
    assert f"`prism-edge codebook --model {model} --g 8 --k 8 --data ...` makes one" in said


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"num_hidden_layers": 3}, "made for blocks = 2, needed is blocks = 3"),
        ({"hidden_size": 32}, "made for width = 16, needed is width = 32"),
        ({"layer_norm_eps": 1e-3}, r"fitted to model [0-9a-f]{16}, the one beside it is [0-9a-f]"),
    ],
)
def test_codebooks_of_another_model_are_refused(
    model: Path, tmp_path: Path, changes: dict[str, Any], expected: str
) -> None:
    path = write_codebooks(model, BOOKS, FITTED)
    other = checkpoints.write(tmp_path / "other", *checkpoints.vit(**changes))
    copy = other / path.name
    copy.write_bytes(path.read_bytes())
    with pytest.raises(ModelError, match=f"{copy}: {expected}.*prism-edge codebook --model"):
        read_codebooks(other, 4, 8)
    assert read_codebooks(model, 4, 8).k == 8


def test_a_renamed_file_is_refused(model: Path) -> None:
    path = write_codebooks(model, BOOKS, FITTED)
    path.rename(codebook_path(model, 8, 8))
    with pytest.raises(ModelError, match="made for g = 4, needed is g = 8"):
        read_codebooks(model, 8, 8)
    codebook_path(model, 8, 8).rename(codebook_path(model, 4, 1024))
    with pytest.raises(ModelError, match="made for k = 8, needed is k = 1024"):
        read_codebooks(model, 4, 1024)


NAN = BOOKS.tables.clone()
NAN[1, 1, 1, 1] = float("nan")


@pytest.mark.parametrize(
    ("tensors", "changes", "expected"),
    [
        (None, {"format": "prism-edge codebooks 9"}, "holds prism-edge codebooks 9"),
        (None, {"tap": "beside"}, "tap is 'beside', allowed are after and before"),
        ({"tables": BOOKS.tables[:1]}, {}, r"tables are \[1, 4, 8, 4\], announced are \[2, 4,"),
        ({"tables": NAN}, {}, "tables hold NaN or infinite values"),
        ({"table": BOOKS.tables}, {}, "cannot be read"),
    ],
)
def test_a_file_that_contradicts_itself_is_refused(
    model: Path, tensors: dict[str, torch.Tensor] | None, changes: dict[str, str], expected: str
) -> None:
    path = write_codebooks(model, BOOKS, FITTED)
    rewrite(path, tensors, **changes)
    with pytest.raises(ModelError, match=rf"{path}: {expected}.*makes one"):
        read_codebooks(model, 4, 8)
    rewrite(path, format="prism-edge codebooks 1", tap="before")
    assert read_codebooks(model, 4, 8).tap == "before"


@pytest.mark.parametrize("size", [0, 4, 200, -1], ids=["empty", "stub", "torn", "one byte short"])
def test_a_torn_file_is_refused(model: Path, size: int) -> None:
    path = write_codebooks(model, BOOKS, FITTED)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(ModelError, match=rf"{path}: cannot be read .*makes one"):
        read_codebooks(model, 4, 8)


@pytest.mark.parametrize(
    ("kept", "expected"),
    [
        (None, "holds no codebooks"),
        ({"about": "[]"}, "holds no codebooks"),
        ({"about": "{"}, "cannot be read"),
    ],
)
def test_any_other_safetensors_file_is_refused(
    model: Path, kept: dict[str, str] | None, expected: str
) -> None:
    save_file({"tables": BOOKS.tables}, codebook_path(model, 4, 8), kept)
    with pytest.raises(ModelError, match=expected):
        read_codebooks(model, 4, 8)


def test_what_cannot_be_written_leaves_what_was_there(model: Path) -> None:
    path = write_codebooks(model, BOOKS, FITTED)
    before = path.read_bytes()
    path.with_name(f"astra-g{BOOKS.g}-k9.safetensors").mkdir()  # in the way of the next one
    nine = Codebooks(tables=noise(2, 4, 9, 4))
    with pytest.raises(ModelError, match=r"astra-g4-k9.safetensors: cannot be written"):
        write_codebooks(model, nine, FITTED)
    assert path.read_bytes() == before
    assert [found.name for found in model.glob("*partial*")] == []
