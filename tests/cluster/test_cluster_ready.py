"""What a board says of itself is one line; anything before it would disturb an engine."""

from __future__ import annotations

import pytest

from prism_edge.cluster.ready import answer
from prism_edge.errors import ClusterError


def test_an_answer_is_the_only_line() -> None:
    assert answer("board a", '{"python": "x"}\n') == {"python": "x"}


@pytest.mark.parametrize("noise", ["Welcome!\n", "\nWelcome!\n", "Welcome!\nto a\n"])
def test_a_shell_that_talks_is_told_from_its_first_line(noise: str) -> None:
    with pytest.raises(ClusterError, match=r"^board a: its shell prints .*~/.bashrc"):
        answer("board a", f'{noise}{{"python": "x"}}\n')


@pytest.mark.parametrize("said", ["", "\n", "no JSON\n"])
def test_no_answer_is_told(said: str) -> None:
    with pytest.raises(ClusterError, match=r"^board a: it printed .* a Python, and may any"):
        answer("board a", said)
