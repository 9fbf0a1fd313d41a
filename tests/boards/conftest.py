"""Two booted boards, for the tests of one module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from boards.desk import Desk
from boards.desk import desk as boards_on_a_desk


@pytest.fixture(scope="module")
def desk() -> Iterator[Desk]:
    """Two boards with links of 200 Mbit/s, as they come from the factory, and nothing of ours."""
    with boards_on_a_desk(2, 200e6) as found:
        yield found
