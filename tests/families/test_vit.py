"""ViT: pixels become patches, patches embeddings, and every rank embeds its own alone."""

from __future__ import annotations

import json
from pathlib import Path

import checkpoints
import pytest
import torch
from nets import error, noise
from torch import Tensor
from torch.nn.functional import conv2d

from prism_edge.errors import InputError, ModelError
from prism_edge.families import load
from prism_edge.families.curve import along_curve
from prism_edge.families.model import Model
from prism_edge.families.vit import Vit
from prism_edge.tensors.segments import segment_means

ORDER = [0, *(1 + cell for cell in along_curve(4))]


def vit(**changes: object) -> Vit:
    return Vit(checkpoints.in_memory(*checkpoints.vit(**changes), "vit."))


def by_convolution(pixels: Tensor) -> Tensor:
    """Embeddings of all tokens by Hugging Face's way, in our order.  [B,C,S,S] -> [B,N,D]"""
    _, weights = checkpoints.vit()
    at = "vit.embeddings."
    projection = f"{at}patch_embeddings.projection"
    x = conv2d(pixels, weights[f"{projection}.weight"], weights[f"{projection}.bias"], stride=8)
    x = x.flatten(2).transpose(1, 2)
    x = torch.cat([weights[f"{at}cls_token"].expand(len(x), -1, -1), x], dim=1)
    return (x + weights[f"{at}position_embeddings"])[:, ORDER]


def embed(model: Model, pixels: Tensor) -> Tensor:
    prepared = model.prepare({"pixel_values": pixels})
    return model.embed(prepared, 0, model.shape.tokens)


def test_embeddings_are_those_of_the_convolution() -> None:
    pixels = noise(2, 3, 32, 32)
    assert torch.allclose(embed(vit(), pixels), by_convolution(pixels), atol=1e-5)
    turned = by_convolution(pixels.transpose(2, 3).contiguous())
    assert not torch.allclose(embed(vit(), pixels), turned, atol=1e-2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8])
@pytest.mark.parametrize(("start", "stop"), [(0, 17), (0, 6), (1, 6), (6, 17), (16, 17), (0, 1)])
def test_a_rank_embeds_its_tokens_from_its_part(dtype: torch.dtype, start: int, stop: int) -> None:
    model = vit()
    pixels = (noise(2, 3, 32, 32) * 50).abs().to(dtype)
    prepared = model.prepare({"pixel_values": pixels})
    part = model.part(prepared, start, stop)
    assert part["patches"].shape[1] == stop - max(start, 1)
    found = model.embed(part, start, stop)
    assert error(found, embed(model, pixels)[:, start:stop]) < 1e-5


def test_mean_patches_are_mean_embeddings() -> None:
    """Law 6 for the patch embedding: a linear map, and positions that are added."""
    model, sizes = vit(), [3, 5, 8]
    prepared = model.prepare({"pixel_values": noise(2, 3, 32, 32)})
    embeddings = model.embed(prepared, 0, 17)[:, 1:]
    position = checkpoints.vit()[1]["vit.embeddings.position_embeddings"][:, ORDER[1:]]
    means = {"patches": segment_means(prepared["patches"], sizes, None)}
    start = 1  # positions 1 to 3 are added here, and taken off again
    of_means = model.embed(means, start, start + 3) - position[:, :3]
    found = of_means + segment_means(position, sizes, None)
    assert torch.allclose(found, segment_means(embeddings, sizes, None), atol=1e-5)
    norm = model.blocks[0].inputs
    difference = norm(segment_means(embeddings, sizes, None)) - segment_means(
        norm(embeddings), sizes, None
    )
    assert float(difference.abs().max()) > 0.1


def normalised(pixels: Tensor, mean: list[float], std: list[float], factor: float) -> Tensor:
    """What an image processor makes of raw pixels."""
    m, s = (torch.tensor(values)[:, None, None] for values in (mean, std))
    return (pixels.float() * factor - m) / s


@pytest.mark.parametrize(
    ("settings", "mean", "std", "factor"),
    [
        (None, [0.5] * 3, [0.5] * 3, 1 / 255),
        ({}, [0.5] * 3, [0.5] * 3, 1 / 255),
        ({"image_mean": [0.48, 0.45, 0.4], "image_std": [0.2, 0.25, 0.3]}, *3 * (None,)),
        ({"rescale_factor": 1 / 128}, [0.5] * 3, [0.5] * 3, 1 / 128),
        ({"do_rescale": False, "image_mean": [90.0] * 3, "image_std": [50.0] * 3}, *3 * (None,)),
        ({"do_normalize": False, "image_mean": [3.0] * 3}, [0.0] * 3, [1.0] * 3, 1 / 255),
    ],
)
def test_raw_pixels_are_normalised_as_the_checkpoint_says(
    tmp_path: Path, settings: object, mean: object, std: object, factor: object
) -> None:
    directory = checkpoints.write(tmp_path / "vit", *checkpoints.vit())
    if settings is not None:
        (directory / "preprocessor_config.json").write_text(json.dumps(settings))
    if mean is None:
        mean, std = settings["image_mean"], settings["image_std"]
        factor = 1 / 255 if settings.get("do_rescale", True) else 1.0
    model = load(directory)
    raw = torch.randint(0, 256, (2, 3, 32, 32), generator=torch.Generator().manual_seed(0))
    raw = raw.to(torch.uint8)
    expected = embed(model, normalised(raw, mean, std, factor))
    assert torch.allclose(embed(model, raw), expected, atol=2e-4)
    assert not torch.allclose(embed(model, raw), embed(model, raw.float()), atol=1e-1)
    swapped = embed(model, normalised(raw, mean, std, factor).flip(1))
    assert not torch.allclose(embed(model, raw), swapped, atol=1e-1)


def test_raw_pixels_travel_raw() -> None:
    prepared = vit().prepare({"pixel_values": torch.zeros(2, 3, 32, 32, dtype=torch.uint8)})
    assert prepared["patches"].dtype == torch.uint8
    assert prepared["patches"].numel() == 2 * 3 * 32 * 32
    half = vit().prepare({"pixel_values": noise(2, 3, 32, 32).half()})
    assert half["patches"].dtype == torch.float32


@pytest.mark.parametrize(
    ("inputs", "reason"),
    [
        ({}, r"inputs are \[\], this model takes \['pixel_values'\]"),
        ({"input_ids": torch.zeros(1, 3)}, r"inputs are \['input_ids'\]"),
        ({"pixel_values": torch.zeros(1, 3, 32, 32), "x": torch.zeros(1)}, "'pixel_values', 'x'"),
        (
            {"pixel_values": torch.zeros(3, 32, 32)},
            r"shape \[3, 32, 32\], expected is \[batch, 3, ",
        ),
        ({"pixel_values": torch.zeros(1, 1, 32, 32)}, r"shape \[1, 1, 32, 32\]"),
        ({"pixel_values": torch.zeros(1, 3, 32, 40)}, r"shape \[1, 3, 32, 40\]"),
        ({"pixel_values": torch.zeros(0, 3, 32, 32)}, "a batch of at least 1"),
        ({"pixel_values": torch.zeros(1, 3, 32, 32).int()}, r"dtype int32, expected is\s+uint8"),
        ({"pixel_values": torch.zeros(1, 3, 32, 32).bool()}, "dtype bool"),
        ({"pixel_values": torch.full((1, 3, 32, 32), float("nan"))}, "NaN or infinite"),
        ({"pixel_values": torch.full((1, 3, 32, 32), float("inf"))}, "NaN or infinite"),
    ],
)
def test_what_is_malformed_is_named(inputs: dict[str, Tensor], reason: str) -> None:
    vit().prepare({"pixel_values": torch.zeros(1, 3, 32, 32)})
    with pytest.raises(InputError, match=reason):
        vit().prepare(inputs)


def test_pixels_may_be_strided() -> None:
    pixels = noise(2, 32, 32, 3).permute(0, 3, 1, 2)  # as images lie in memory
    assert torch.equal(embed(vit(), pixels), embed(vit(), pixels.contiguous()))


def test_its_shape_says_what_it_takes_and_gives() -> None:
    classify, bare = vit(), vit(architecture="ViTModel")
    assert (classify.shape.needs, bare.shape.needs) == ("first", "all")
    assert (classify.shape.tokens, classify.shape.token_bytes) == (17, 192)
    sinks = classify.shape.lead, classify.shape.trail, classify.shape.class_token
    assert sinks == (1, 0, True)
    assert [spec.shape for spec in classify.outputs] == [(-1, 7)]
    assert [spec.shape for spec in bare.outputs] == [(-1, 17, 16), (-1, 16)]
    assert classify.inputs[0].shape == (-1, 3, 32, 32)
    assert not classify.positionwise


def test_a_broken_preprocessor_file_is_named(tmp_path: Path) -> None:
    directory = checkpoints.write(tmp_path / "vit", *checkpoints.vit())
    (directory / "preprocessor_config.json").write_text("{")
    with pytest.raises(ModelError, match=r"preprocessor_config\.json cannot be read"):
        load(directory)
