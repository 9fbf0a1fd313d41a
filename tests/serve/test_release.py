"""A process knows the release it was started from, and none where none was deployed."""

from __future__ import annotations

from pathlib import Path

import pytest

from prism_edge.serve.release import release_of


def test_the_release_is_read_beside_its_environment_also_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "releases" / "1-a" / "venv").mkdir(parents=True)
    (tmp_path / "releases" / "1-a" / "release.json").write_text('{"id": "1-a"}')
    (tmp_path / "current").symlink_to("releases/1-a")
    assert release_of(tmp_path / "releases" / "1-a" / "venv") == "1-a"
    assert release_of(tmp_path / "current" / "venv") == "1-a"


@pytest.mark.parametrize("content", [None, "", "[]", "{}", "1"])
def test_anything_else_is_no_release(content: str | None, tmp_path: Path) -> None:
    (tmp_path / "venv").mkdir()
    if content is not None:
        (tmp_path / "release.json").write_text(content)
    assert release_of(tmp_path / "venv") is None
