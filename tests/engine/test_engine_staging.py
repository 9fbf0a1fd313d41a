"""Staging on a board without an accelerator is a copy, and is called one."""

from __future__ import annotations

import pytest

from prism_edge.engine.staging import stage
from prism_edge.errors import InputError


@pytest.mark.parametrize("direction", ["d2h", "h2d"])
@pytest.mark.parametrize("repeats", [1, 4])
def test_every_repeat_but_the_first_is_timed(direction: str, repeats: int) -> None:
    path, seconds = stage(direction, 4096, repeats)  # type: ignore[arg-type]
    assert path == "copy"
    assert len(seconds) == repeats
    assert all(second > 0 for second in seconds)


def test_an_unknown_direction_is_refused() -> None:
    with pytest.raises(InputError, match="'up', allowed is d2h or h2d"):
        stage("up", 4096, 1)  # type: ignore[arg-type]
