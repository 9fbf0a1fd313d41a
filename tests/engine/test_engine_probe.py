"""Three real engines over loopback: who exchanges with whom, one way, and while computing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from prism_edge.errors import InputError
from prism_edge.profile.engines import Engines, local_hosts, start_engines

pytestmark = pytest.mark.gloo


@pytest.fixture(scope="module")
def three() -> Iterator[Engines]:
    with start_engines(local_hosts(3), []) as engines:
        engines.join()
        yield engines


@pytest.mark.parametrize("loaded", [False, True])
@pytest.mark.parametrize("ranks", [(0, 2), (1, 2), (0, 1, 2)])
def test_any_ranks_can_exchange(three: Engines, ranks: tuple[int, ...], loaded: bool) -> None:
    said = three.ask(
        0, "probe", ranks=ranks, operation="exchange", bytes=9000, repeats=3, loaded=loaded
    ).fields
    assert len(said["seconds"]) == 3
    assert all(second > 0 for second in said["seconds"])
    assert all((cpu_s is None) if loaded else cpu_s > 0 for cpu_s in said["cpu_s"])


@pytest.mark.parametrize("ranks", [(0, 1), (2, 0)])
def test_both_directions_can_be_told_apart(three: Engines, ranks: tuple[int, int]) -> None:
    said = three.ask(0, "probe", ranks=ranks, operation="oneway", bytes=1 << 20, repeats=5).fields
    assert len(said["seconds"]) == 5
    assert all(second > 0 for second in said["seconds"])


def test_a_probe_that_cannot_be_leaves_the_group_as_it_was(three: Engines) -> None:
    with pytest.raises(InputError, match="rank 0 has to be one of two"):
        three.ask(0, "probe", ranks=(1, 2), operation="oneway", bytes=1, repeats=1)
    assert three.ask(0, "probe", rank=1, operation="exchange", bytes=1, repeats=1).fields["seconds"]
