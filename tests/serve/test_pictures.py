"""Images become the pixels that Hugging Face's processors make of them, or are refused."""

from __future__ import annotations

import io
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from prism_edge.errors import InputError, ModelError, TooLargeError
from prism_edge.serve.pictures import MAX_PIXELS_TOGETHER, Preparation, pixels, read_preparation

SHAPE = (-1, 3, 40, 40)


def plain(channels: int = 3, size: int = 4) -> Preparation:
    return Preparation(
        channels=channels, height=size, width=size, resize=(size, size), crop=None, resample=2
    )


def encoded(kind: str = "PNG", size: tuple[int, int] = (5, 3), **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, (200, 10, 10)).save(buffer, kind, **options)
    return buffer.getvalue()


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says it is that large."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checked = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checked)

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize("processor", ["vit", "deit", "shortest"])
def test_pixels_are_hugging_faces(processor: str, inputs_reference: Path) -> None:
    wanted = read_preparation(inputs_reference / processor, SHAPE)
    with np.load(inputs_reference / "pixels.npz") as expected:
        files = sorted((inputs_reference / "images").iterdir())
        assert len(files) == 6
        found = pixels([path.read_bytes() for path in files], wanted)
        assert (found.dtype, found.shape) == (np.uint8, (6, 3, 40, 40))
        for path, array in zip(files, found, strict=True):
            assert np.array_equal(array, expected[f"{processor}.{path.name}"]), path.name


def test_processors_differ(inputs_reference: Path) -> None:
    data = (inputs_reference / "images" / "wide.png").read_bytes()
    vit, deit = (
        pixels([data], read_preparation(inputs_reference / name, SHAPE)) for name in ("vit", "deit")
    )
    assert not np.array_equal(vit, deit)


def test_without_a_processor_the_models_own_size_is_taken(tmp_path: Path) -> None:
    wanted = read_preparation(tmp_path, SHAPE)
    assert (wanted.resize, wanted.crop, wanted.resample) == ((40, 40), None, 2)
    assert pixels([encoded(), encoded("JPEG")], wanted).shape == (2, 3, 40, 40)


def test_a_model_for_grey_images_gets_them() -> None:
    assert pixels([encoded()], plain(channels=1)).shape == (1, 1, 4, 4)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "image: not a JPEG or PNG"),
        (b"\xff\xd8\xff\xe0 not really", "not a JPEG or PNG"),
        (encoded("GIF"), "not a JPEG or PNG"),
        (encoded("BMP"), "not a JPEG or PNG"),
        (encoded(size=(50, 50))[:-30], "not a JPEG or PNG"),
        (encoded("JPEG", size=(500, 500))[:-1500], "not a JPEG or PNG"),
        (bomb(10, 10), "not a JPEG or PNG"),
    ],
)
def test_what_is_no_image_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        pixels([data], plain())
    assert not isinstance(caught.value, TooLargeError)


def test_the_broken_one_of_many_is_named() -> None:
    with pytest.raises(InputError, match="image 1: not a JPEG"):
        pixels([encoded(), b"x", encoded()], plain())


@pytest.mark.parametrize("size", [(6000, 6000), (10_000, 10_000), (60_000, 60_000)])
def test_bombs_are_refused_before_they_are_unpacked(size: tuple[int, int]) -> None:
    with pytest.raises(TooLargeError, match="smaller"):
        pixels([bomb(*size)], plain())


def test_many_that_are_too_large_together_are_refused() -> None:
    data = encoded(size=(5000, 5000))
    count = MAX_PIXELS_TOGETHER // 25_000_000 + 1
    with pytest.raises(TooLargeError, match=f"image {count - 1} has 5000 x 5000"):
        pixels([data] * count, plain())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("{", "cannot be read"),
        (json.dumps({"size": "large"}), "cannot be read"),
        (json.dumps({"size": {"longest_edge": 3}}), "cannot be read"),
        (json.dumps({"resample": 77}), "cannot be read"),
        (json.dumps({"do_center_crop": True}), "cannot be read"),
    ],
)
def test_a_processor_that_is_not_understood_is_the_models_fault(
    settings: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "preprocessor_config.json").write_text(settings)
    with pytest.raises(ModelError, match=message):
        read_preparation(tmp_path, SHAPE)


def test_a_processor_for_another_size_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"size": 50}))
    with pytest.raises(InputError, match="50 x 50 came out, the model takes 40 x 40"):
        pixels([encoded()], read_preparation(tmp_path, SHAPE))
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"do_resize": False}))
    with pytest.raises(InputError, match="5 x 3 came out"):
        pixels([encoded()], read_preparation(tmp_path, SHAPE))
