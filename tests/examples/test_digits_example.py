"""The committed digits checkpoint reads the committed split as well as its README says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("sklearn")
import torch
from transformers import ViTForImageClassification

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
