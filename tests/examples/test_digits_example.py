"""The committed digits checkpoint reads the committed split as well as its README says."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("sklearn")
import torch
from transformers import ViTForImageClassification

from prism_edge.families import load
from prism_edge.plan import Plan
from prism_edge.traffic import wire_bytes

EXAMPLE = Path(__file__).parents[2] / "examples" / "digits"


def right_answers(data: ModuleType, damage: float = 0.0) -> int:
    """Test images read correctly by the checkpoint fed through its own preprocessor_config.json."""
    _, _, images, labels = data.load_split(0)
    model = ViTForImageClassification.from_pretrained(EXAMPLE / "checkpoint").train(False)
    settings = json.loads((EXAMPLE / "checkpoint" / "preprocessor_config.json").read_text())
    mean = torch.tensor(settings["image_mean"])[:, None, None]
    std = torch.tensor(settings["image_std"])[:, None, None]
    pixels = (torch.from_numpy(images) * settings["rescale_factor"] - mean) / std
    with torch.inference_mode():
        for weight in model.parameters():
            weight.add_(
                damage * torch.randn(weight.shape, generator=torch.Generator().manual_seed(0))
            )
        answers = model(pixel_values=pixels).logits.argmax(-1).numpy()
    return int((answers == labels).sum())


def test_split_is_a_function_of_the_seed(data: ModuleType) -> None:
    train, train_labels, test, test_labels = data.load_split(0)
    assert train.shape == (1437, 3, 32, 32)
    assert test.shape == (360, 3, 32, 32)
    assert train.dtype == test.dtype == np.uint8
    assert sorted(set(train_labels)) == sorted(set(test_labels)) == list(range(10))
    assert test_labels[:5].tolist() == [2, 8, 2, 6, 6]
    assert np.array_equal(test, data.load_split(0)[2])
    assert not np.array_equal(test, data.load_split(1)[2])


def test_images_keep_the_full_range_and_every_row(data: ModuleType) -> None:
    ink = np.zeros((8, 8))
    ink[0, 0] = 16
    image = data.upscale(ink)
    assert image.shape == (3, 32, 32)
    assert image.max() == image[0, 0, 0] == 255
    assert image[:, 8:].max() == image[:, :, 8:].max() == 0


def test_accuracy_is_what_the_readme_says(data: ModuleType) -> None:
    claim = re.search(r"\((\d+) of 360\)", (EXAMPLE / "README.md").read_text())
    assert claim is not None
    right = right_answers(data)
    assert abs(right - int(claim.group(1))) <= 1  # another CPU may round one logit differently
    assert right >= 0.97 * 360


def test_a_damaged_checkpoint_is_noticed(data: ModuleType) -> None:
    assert right_answers(data, damage=0.5) < 0.5 * 360


def test_the_checkpoint_stays_small() -> None:
    assert (EXAMPLE / "checkpoint" / "model.safetensors").stat().st_size < 1_500_000


def test_files_hold_the_split_and_moved_copies(data: ModuleType, tmp_path: Path) -> None:
    command = [sys.executable, str(EXAMPLE / "arrays.py"), "--out", str(tmp_path), "--copies", "1"]
    subprocess.run(command, check=True)
    train, labels, test, test_labels = data.load_split()
    with np.load(tmp_path / "train.npz") as file:
        assert np.array_equal(file["pixel_values"][:1437], train)
        assert np.array_equal(file["labels"], np.concatenate([labels, labels]))
        moved = file["pixel_values"][1437:]
        assert moved.shape == train.shape
        assert 0 < (moved == train).all(axis=(1, 2, 3)).mean() < 0.1  # 81 offsets, one of them none
    with np.load(tmp_path / "test.npz") as file:
        assert np.array_equal(file["pixel_values"], test)
        assert np.array_equal(file["labels"], test_labels)


def test_the_frontier_is_drawn(tmp_path: Path) -> None:
    plans = {"local": 0.99, "prism:p=2,l=2,dtype=int8": 0.8, "astra:p=2,g=4": 0.9}
    same = {"metric": "accuracy", "ci_low": 0.5, "ci_high": 1.0, "wire_bytes": 5000.0}
    rows = [{"plan": plan, "value": value, **same} for plan, value in plans.items()]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    spec = importlib.util.spec_from_file_location("frontier", EXAMPLE / "frontier.py")
    assert spec is not None
    assert spec.loader is not None
    frontier = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(frontier)
    given, drawn = str(tmp_path / "rows.json"), tmp_path / "drawn.png"
    frontier.main(["--before", given, "--after", given, given, "--out", str(drawn)])
    assert drawn.read_bytes().startswith(b"\x89PNG")
    shape = load(EXAMPLE / "checkpoint").shape
    row = {"plan": "prism:p=2,l=2,dtype=int8"}
    row["wire_bytes"] = wire_bytes(Plan.parse(row["plan"]), shape, 1, shape.tokens)
    # to the other board and back before 3 blocks, and one way before the first and the last
    assert frontier.sent_bytes(row, shape) == 8 * 2 * (64 + 4)
