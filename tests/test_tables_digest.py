"""A digest is the tables' bytes: any other byte is another digest, and nothing else is."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from prism_edge.errors import TableError
from prism_edge.tables.digest import digest

LAB = Path(__file__).parents[1] / "profiles" / "lab"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(LAB, tmp_path / "elsewhere"))


def test_a_copy_elsewhere_has_the_same_digest(copy: Path) -> None:
    (copy / "notes.txt").write_text("not a table")
    assert digest(copy) == digest(LAB)
    assert len(digest(copy)) == 16


@pytest.mark.parametrize("name", sorted(path.name for path in LAB.iterdir()))
def test_one_other_byte_is_another_digest(copy: Path, name: str) -> None:
    body = (copy / name).read_bytes()
    (copy / name).write_bytes(body[:-2] + b"7" + body[-1:])
    assert (copy / name).read_bytes() != body
    assert digest(copy) != digest(LAB)


def test_bytes_that_moved_to_another_table_are_another_digest(copy: Path) -> None:
    """Negative control: the concatenation is the same."""
    first, second = copy / "compute.csv", copy / "staging.csv"
    moved = second.read_bytes()
    first.write_bytes(first.read_bytes() + moved[:100])
    second.write_bytes(moved[100:])
    assert digest(copy) != digest(LAB)


def test_a_table_that_is_not_there_is_another_digest(copy: Path) -> None:
    (copy / "accuracy.csv").unlink()
    without = digest(copy)
    (copy / "accuracy.csv").write_bytes(b"")
    assert len({without, digest(copy), digest(LAB)}) == 3


def test_no_profile_has_no_digest(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="no such file; run `prism-edge profile`"):
        digest(tmp_path)
    (tmp_path / "profile.toml").mkdir()
    with pytest.raises(TableError, match="cannot be read"):
        digest(tmp_path)
