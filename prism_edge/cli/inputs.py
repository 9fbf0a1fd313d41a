"""What a user has at hand, an .npz, an image or a text, as the tensors a model takes."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prism_edge.errors import InputError, SettingsError

if TYPE_CHECKING:
    import numpy.typing as npt

    from prism_edge.serve.service import TensorInfo

    Arrays = dict[str, npt.NDArray[Any]]


def read_npz(path: Path) -> Arrays:
    """The arrays of an .npz file, all of them numbers in this machine's byte order."""
    import numpy as np

    try:
        with path.open("rb") as file:  # numpy does not close what it cannot read
            held = np.load(file, allow_pickle=False)
            if not isinstance(held, np.lib.npyio.NpzFile):
                raise InputError(
                    f"{path}: holds one bare array; numpy.savez(..., NAME=array) names it"
                )
            arrays = {name: held[name] for name in held.files}
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: not an .npz of plain arrays ({error})") from error
    if not arrays:
        raise InputError(f"{path}: holds no array")
    return {name: _number(path, name, array) for name, array in arrays.items()}


def write_npz(path: Path, arrays: Mapping[str, Any]) -> None:
    """``path`` holds the arrays. Raises ``InputError`` when it cannot be written."""
    import numpy as np

    try:
        with path.open("wb") as file:
            np.savez(file, **arrays)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})") from error


def read_image(path: Path, inputs: Sequence[TensorInfo]) -> Arrays:
    """An image file as it is, where the daemon prepares it: BYTES [1]; else in the size the model
    takes, as raw pixels: uint8 [1,C,H,W]."""
    import numpy as np
    from PIL import Image, UnidentifiedImageError

    if _encoded("image", inputs):
        try:
            return {"image": np.array([path.read_bytes()], np.object_)}
        except OSError as error:
            said = "no such file" if isinstance(error, FileNotFoundError) else error.strerror
            raise InputError(f"{path}: {said}") from error
    pixels = next((info for info in inputs if len(info.shape) == 4), None)
    if pixels is None:
        takes = ", ".join(info.name for info in inputs)
        raise InputError(f"--image: this model takes {takes}, no images")
    _, channels, height, width = pixels.shape
    try:
        with Image.open(path) as image:
            sized = image.convert("L" if channels == 1 else "RGB").resize(
                (width, height), Image.Resampling.BILINEAR
            )
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"{path}: not an image that Pillow reads ({error})") from error
    array = np.asarray(sized, dtype=np.uint8).reshape(height, width, -1)
    return {pixels.name: np.ascontiguousarray(array.transpose(2, 0, 1)[None])}


def read_text(text: str, tokenizer: Path | None, inputs: Sequence[TensorInfo]) -> Arrays:
    """A text as it is, where the daemon has the tokenizer and none is given here: BYTES [1]; else
    as token ids and whatever else of its tokenizer the model takes: int64 [1,N]."""
    import numpy as np

    if tokenizer is None and _encoded("text", inputs):
        return {"text": np.array([text.encode()], np.object_)}
    names = [info.name for info in inputs]
    if "input_ids" not in names:
        raise InputError(f"--text: this model takes {', '.join(names)}, no text")
    if tokenizer is None:
        raise SettingsError("--text needs --tokenizer DIR, the model's own directory as a rule")
    if not tokenizer.is_dir():  # else transformers would look for it on the Internet
        raise SettingsError(f"--tokenizer {tokenizer}: no such directory")
    from transformers import AutoTokenizer

    try:
        encoded = AutoTokenizer.from_pretrained(tokenizer, local_files_only=True)(text)
    except Exception as error:  # tokenizers raise many kinds for an incomplete directory
        raise InputError(f"--tokenizer {tokenizer}: {str(error).splitlines()[0]}") from error
    return {
        name: np.asarray([values], dtype=np.int64)
        for name, values in encoded.items()
        if name in names
    }


def read_token(path: Path) -> str:
    """The bearer token in a file."""
    try:
        token = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"--token-file {path}: cannot be read ({error})") from error
    if not token:
        raise SettingsError(f"--token-file {path}: is empty")
    return token


def _encoded(name: str, inputs: Sequence[TensorInfo]) -> bool:
    """Whether the daemon takes what users have, encoded, under that name."""
    return any(info.name == name and info.datatype == "BYTES" for info in inputs)


def _number(path: Path, name: str, array: Any) -> npt.NDArray[Any]:
    import numpy as np

    if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
        raise InputError(f"{path}: {name} holds {array.dtype}, expected are numbers")
    if array.dtype.kind == "u" and array.dtype.itemsize > 1:
        array = array.astype(np.int64)  # torch has no such types
    return array.astype(array.dtype.newbyteorder("="), copy=False)  # type: ignore[no-any-return]
