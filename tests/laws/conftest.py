"""Groups of real GLOO processes, started once and used by all laws.

What needs torch is imported where it is used: without it this file must still be read.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from puppet import Puppet

    from prism_edge.transport.gloo import Gloo, GlooStore

EPOCHS = count(1)


@pytest.fixture(scope="session")
def law_store() -> GlooStore:
    from puppet import ADDRESS

    from prism_edge.transport.gloo import GlooStore

    return GlooStore(ADDRESS)


@pytest.fixture(scope="session")
def law_workers(law_store: GlooStore) -> Iterator[list[Puppet]]:
    """Three processes, which make groups of two, three and four with this one."""
    from puppet import puppets

    with puppets(3, law_store.port) as started:
        yield started


@pytest.fixture
def pair(law_store: GlooStore, law_workers: list[Puppet]) -> Iterator[Gloo]:
    """Rank 0 of a group of two; ``law_workers[0]`` is rank 1 and does what it is told."""
    group = form(law_store, law_workers[:1])
    yield group
    group.close()


@pytest.fixture(scope="module", params=[2, 3, 4], ids=["two", "three", "four"])
def gloo(
    request: pytest.FixtureRequest, law_store: GlooStore, law_workers: list[Puppet]
) -> Iterator[Gloo]:
    """Rank 0 of a group whose other ranks serve the nets of the laws."""
    from drawn import Named

    workers = law_workers[: request.param - 1]
    group = form(law_store, workers)
    for worker in workers:
        worker.tell("follow", Named())
    yield group
    group.close()
    for worker in workers:
        assert "lost rank 0" in worker.hear()  # and not an error of its own


def form(store: GlooStore, workers: list[Puppet]) -> Gloo:
    """Rank 0 of a new group with these workers."""
    from puppet import join

    shape = {"epoch": next(EPOCHS), "size": 1 + len(workers)}
    for rank, worker in enumerate(workers, 1):
        worker.settle()
        worker.tell("join", rank=rank, **shape)
    group = join(store.store, store.port, rank=0, **shape)
    for worker in workers:
        worker.hear()
    return group
