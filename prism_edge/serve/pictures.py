"""Encoded images as the pixels a model takes: sized and cropped by preprocessor_config.json.

What comes out are bytes; scaling and normalising them is the engine's first step. Equal to what
Hugging Face's processors make of the image before they normalise it.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from prism_edge.errors import InputError, ModelError, TooLargeError

FORMATS = ("JPEG", "PNG")
MAX_PIXELS = 1 << 25  # of one image: 33 million, 100 MB unpacked; a phone's photo has 12
MAX_PIXELS_TOGETHER = 1 << 27  # of one request


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparation:
    """How a model wants images. ``resize``: (height, width), one number for the shorter side, or
    None; ``crop``: (height, width) of the middle, or None; ``resample``: Pillow's number."""

    channels: int
    height: int
    width: int
    resize: tuple[int, int] | int | None
    crop: tuple[int, int] | None
    resample: int


def read_preparation(directory: Path, shape: Sequence[int]) -> Preparation:
    """What preprocessor_config.json asks for; without it, a resize to the model's own size.

    ``shape``: of the model's pixels, [-1,C,H,W]. Raises ``ModelError``.
    """
    _, channels, height, width = shape
    path = directory / "preprocessor_config.json"
    settings: Mapping[str, Any] = {}
    try:
        if path.is_file():
            settings = json.loads(path.read_text(encoding="utf-8"))
        crop = _size(settings["crop_size"]) if settings.get("do_center_crop") else None
        if isinstance(crop, int):
            crop = crop, crop
        resize = _size(settings.get("size") or {"height": height, "width": width})
        return Preparation(
            channels=channels,
            height=height,
            width=width,
            resize=resize if settings.get("do_resize", True) else None,
            crop=crop,
            resample=Image.Resampling(settings.get("resample", Image.Resampling.BILINEAR)),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{path}: cannot be read ({error!r})") from error


def pixels(images: Sequence[bytes], wanted: Preparation) -> npt.NDArray[np.uint8]:
    """The images of one request.  -> uint8 [B,C,H,W]

    Raises ``InputError`` for what is no image, ``TooLargeError`` before unpacking too much.
    """
    sized, left = [], MAX_PIXELS_TOGETHER
    for index, data in enumerate(images):
        where = f"image {index}" if len(images) > 1 else "image"
        try:
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                count = image.width * image.height
                left -= count
                if count > MAX_PIXELS or left < 0:
                    raise _too_large(where, image.width, image.height)
                sized.append(prepared(image, wanted))
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise TooLargeError(f"{where}: {error}; send it smaller") from error
        except InputError:
            raise
        except Exception as error:  # decoders raise many kinds for broken data
            said = " ".join(str(error).split()) or type(error).__name__
            raise InputError(f"{where}: not a JPEG or PNG that can be read ({said})") from error
    return np.stack(sized)


def prepared(image: Image.Image, wanted: Preparation) -> npt.NDArray[np.uint8]:
    """One image as the model takes it.  -> uint8 [C,H,W]"""
    upright = ImageOps.exif_transpose(image).convert("L" if wanted.channels == 1 else "RGB")
    size = wanted.resize
    if isinstance(size, int):
        short, long = sorted(upright.size)
        other = int(size * long / short)
        size = (other, size) if upright.width <= upright.height else (size, other)
    if size is not None:
        upright = upright.resize((size[1], size[0]), Image.Resampling(wanted.resample))
    if wanted.crop is not None:
        height, width = wanted.crop
        left, top = (upright.width - width) // 2, (upright.height - height) // 2
        upright = upright.crop((left, top, left + width, top + height))
    if upright.size != (wanted.width, wanted.height):
        raise InputError(
            f"an image of {upright.width} x {upright.height} came out, the model takes "
            f"{wanted.width} x {wanted.height}; its preprocessor_config.json does not lead there"
        )
    array = np.asarray(upright, dtype=np.uint8).reshape(wanted.height, wanted.width, -1)
    return np.ascontiguousarray(array.transpose(2, 0, 1))


def _size(value: Any) -> tuple[int, int] | int:
    """A size as processors of various ages write it."""
    if isinstance(value, int):
        return value, value
    if "shortest_edge" in value:
        return int(value["shortest_edge"])
    return int(value["height"]), int(value["width"])


def _too_large(where: str, width: int, height: int) -> TooLargeError:
    return TooLargeError(
        f"{where} has {width} x {height} pixels; at most {MAX_PIXELS} are taken, and "
        f"{MAX_PIXELS_TOGETHER} in one request: send it smaller"
    )
