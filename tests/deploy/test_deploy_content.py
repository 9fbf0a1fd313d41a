"""What is sent of a model and of a profile, and that its digest knows every change."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

from prism_edge.deploy.content import digest_of, local, model_files, table_files
from prism_edge.errors import ModelError, TableError

PROFILE = Path(__file__).parents[2] / "profiles" / "lab"


def model(directory: Path) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    for name in ("config.json", "model.safetensors", "pytorch_model.bin", "tf_model.h5", ".cache"):
        (directory / name).write_text(name)
    (directory / ".git").mkdir(exist_ok=True)
    (directory / ".git" / "HEAD").write_text("x")
    (directory / "onnx").mkdir(exist_ok=True)
    (directory / "onnx" / "model.onnx").write_text("x")
    return directory


def test_a_file_is_known_by_its_content(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"abc" * 700_000)
    found = local(path)
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert found.bytes == 2_100_000


def test_only_what_engines_read_is_sent(tmp_path: Path) -> None:
    assert sorted(model_files(model(tmp_path))) == ["config.json", "model.safetensors"]
    (tmp_path / "model.safetensors").unlink()
    assert sorted(model_files(tmp_path)) == ["config.json", "pytorch_model.bin"]


def test_links_are_followed(tmp_path: Path) -> None:
    """As in a Hugging Face cache."""
    model(tmp_path / "blobs")
    (tmp_path / "snapshot").mkdir()
    for name in ("config.json", "model.safetensors"):
        (tmp_path / "snapshot" / name).symlink_to(tmp_path / "blobs" / name)
    assert digest_of(model_files(tmp_path / "snapshot")) == digest_of(
        model_files(tmp_path / "blobs")
    )


def test_a_digest_changes_with_content_and_name(tmp_path: Path) -> None:
    before = digest_of(model_files(model(tmp_path)))
    (tmp_path / "config.json").write_text("other")
    other = digest_of(model_files(tmp_path))
    (tmp_path / "astra-g32-k1024.safetensors").write_text("codes")
    assert len({before, other, digest_of(model_files(tmp_path))}) == 3


def test_no_model_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"holds no config\.json"):
        model_files(tmp_path)
    with pytest.raises(ModelError, match="cannot be read: No such file"):
        model_files(tmp_path / "nowhere")


def test_tables_are_those_of_a_profile(tmp_path: Path) -> None:
    shutil.copytree(PROFILE, tmp_path / "lab")
    (tmp_path / "lab" / "notes.txt").write_text("mine")
    found = table_files(tmp_path / "lab")
    assert {"profile.toml", "compute.csv", "link.csv"} <= set(found)
    assert "notes.txt" not in found
    (tmp_path / "lab" / "link.csv").write_text("cut")
    with pytest.raises(TableError, match=r"link\.csv"):
        table_files(tmp_path / "lab")


def test_no_profile_is_no_tables(tmp_path: Path) -> None:
    assert table_files(tmp_path) == {}
    assert table_files(tmp_path / "nowhere") == {}
