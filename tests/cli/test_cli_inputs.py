"""Files and texts become tensors, or an error that names the file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from prism_edge.cli.inputs import read_image, read_npz, read_text, read_token, write_npz
from prism_edge.errors import InputError, SettingsError
from prism_edge.serve.service import TensorInfo

PIXELS = (TensorInfo(name="pixel_values", datatype="FP32", shape=(-1, 3, 8, 6)),)
GREY = (TensorInfo(name="pixel_values", datatype="FP32", shape=(-1, 1, 8, 6)),)
TEXT = tuple(
    TensorInfo(name=name, datatype="INT64", shape=(-1, -1))
    for name in ("input_ids", "attention_mask")
)


def bare(path: Path) -> None:
    """What numpy.save writes, under another name."""
    with path.open("wb") as file:
        np.save(file, np.ones(2))


def test_an_npz_is_read_as_it_was_written(tmp_path: Path) -> None:
    arrays = {"pixel_values": np.arange(6, dtype=np.uint8).reshape(1, 6), "x": np.ones(2)}
    write_npz(tmp_path / "a.npz", arrays)
    found = read_npz(tmp_path / "a.npz")
    assert list(found) == ["pixel_values", "x"]
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        assert found[name].tolist() == array.tolist()


def test_numbers_torch_does_not_have_are_converted(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", ids=np.array([70000], np.uint32), far=np.array([1.5], ">f4"))
    found = read_npz(tmp_path / "a.npz")
    assert (found["ids"].dtype, found["ids"].tolist()) == (np.dtype(np.int64), [70000])
    assert (found["far"].dtype, found["far"].tolist()) == (np.dtype(np.float32), [1.5])


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda path: None, "no such file"),
        (lambda path: path.write_bytes(b"not a zip"), "not an .npz"),
        (lambda path: path.write_bytes(b""), "not an .npz"),
        (lambda path: path.write_bytes(b"PK\x03\x04" + b"\0" * 30), "not an .npz"),
        (lambda path: path.mkdir(), "not an .npz"),
        (bare, "bare array"),
        (lambda path: np.savez(path), "holds no array"),
        (lambda path: np.savez(path, x=np.array(["a"])), "x holds <U1, expected are numbers"),
        (lambda path: np.savez(path, x=np.array([{}])), "not an .npz"),
        (lambda path: np.savez(path, x=np.ones(1, np.complex64)), "x holds complex64"),
        (lambda path: np.savez(path, x=np.ones(1, np.longdouble)), "x holds float128"),
    ],
)
def test_what_is_no_npz_of_numbers_is_named(
    tmp_path: Path, make: Callable[[Path], object], expected: str
) -> None:
    path = tmp_path / "in.npz"
    make(path)
    with pytest.raises(InputError, match=expected) as raised:
        read_npz(path)
    assert str(path) in str(raised.value)


def test_an_output_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written"):
        write_npz(tmp_path / "no" / "out.npz", {"x": np.ones(1)})


def test_an_image_becomes_pixels_in_channel_order(tmp_path: Path) -> None:
    Image.new("RGB", (60, 80), (250, 10, 30)).save(tmp_path / "red.png")
    pixels = read_image(tmp_path / "red.png", PIXELS)["pixel_values"]
    assert (pixels.shape, pixels.dtype) == ((1, 3, 8, 6), np.dtype(np.uint8))
    assert [int(pixels[0, channel].min()) for channel in range(3)] == [250, 10, 30]
    assert pixels.flags.c_contiguous


def test_rows_stay_rows(tmp_path: Path) -> None:
    picture = np.zeros((8, 6), np.uint8)
    picture[0] = 200
    Image.fromarray(picture).save(tmp_path / "top.png")
    grey = read_image(tmp_path / "top.png", GREY)["pixel_values"]
    assert grey.shape == (1, 1, 8, 6)
    assert grey[0, 0].tolist() == picture.tolist()


def test_what_is_no_image_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_text("not an image")
    with pytest.raises(InputError, match=r"a\.jpg: not an image"):
        read_image(tmp_path / "a.jpg", PIXELS)
    with pytest.raises(InputError, match="no such file"):
        read_image(tmp_path / "b.jpg", PIXELS)
    with pytest.raises(InputError, match="takes input_ids, attention_mask, no images"):
        read_image(tmp_path / "a.jpg", TEXT)


def test_a_text_needs_a_model_and_a_tokenizer_for_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="takes pixel_values, no text"):
        read_text("hello", tmp_path, PIXELS)
    with pytest.raises(SettingsError, match="needs --tokenizer"):
        read_text("hello", None, TEXT)
    with pytest.raises(SettingsError, match="no such directory"):
        read_text("hello", tmp_path / "no", TEXT)


def test_a_token_is_read_without_its_newline(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret\n")
    assert read_token(tmp_path / "token") == "secret"
    (tmp_path / "token").write_text("\n")
    with pytest.raises(SettingsError, match="is empty"):
        read_token(tmp_path / "token")
    with pytest.raises(SettingsError, match="cannot be read"):
        read_token(tmp_path / "nothing")


def test_a_daemon_that_prepares_gets_what_the_user_has(tmp_path: Path) -> None:
    """Its own preprocessor is the model's; nothing is done to the file here."""
    (tmp_path / "a.jpg").write_bytes(b"encoded")
    takes = [
        TensorInfo(name="pixel_values", datatype="FP32", shape=(-1, 3, 4, 4)),
        TensorInfo(name="image", datatype="BYTES", shape=(-1,)),
        TensorInfo(name="text", datatype="BYTES", shape=(-1,)),
    ]
    assert read_image(tmp_path / "a.jpg", takes)["image"].tolist() == [b"encoded"]
    assert read_text("grüß", None, takes)["text"].tolist() == ["grüß".encode()]
    with pytest.raises(InputError, match="no such file"):
        read_image(tmp_path / "b.jpg", takes)
