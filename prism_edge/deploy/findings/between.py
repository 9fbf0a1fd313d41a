"""What is wrong between boards that are each well: clocks, versions, ways. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

from prism_edge.deploy.facts import Facts
from prism_edge.deploy.findings.clock import MAX_SKEW_S
from prism_edge.deploy.findings.finding import Finding
from prism_edge.settings import Settings


def between(settings: Settings, boards: Sequence[Facts]) -> Iterator[Finding]:
    """Of all boards that answered."""
    if len(settings.boards) > 1 and not settings.mesh.subnet and settings.kind == "boards":
        yield Finding(
            code="no-mesh",
            severity="note",
            what="boards talk in the open: GLOO neither encrypts nor knows whom it talks to",
            where="cluster.toml",
            remedy="Nothing to do on a network that you trust. On any other, add a [mesh] "
            "(docs/mesh.md).",
        )
    yield from _clocks(boards)
    yield from _differing(
        {facts.board: _series(facts.torch.version) for facts in boards},
        code="torch-differs",
        name="torch",
        remedy="Install the same torch on all; between others GLOO is not tested.",
    )
    yield from _differing(
        {facts.board: _version(facts.installed.current) for facts in boards},
        code="versions-differ",
        name="prism-edge",
        remedy="Groups of different versions are not tested. Push to all:\n"
        "$ prism-edge deploy push --cluster cluster.toml",
    )


def _clocks(boards: Sequence[Facts]) -> Iterator[Finding]:
    """Each was compared with the clock here; so they are compared with each other."""
    known = [(facts.board, facts.clock) for facts in boards if facts.clock.skew_s is not None]
    for (one, first), (other, second) in combinations(known, 2):
        apart_s = abs((first.skew_s or 0.0) - (second.skew_s or 0.0))
        bound_s = (first.bound_s or 0.0) + (second.bound_s or 0.0)
        if apart_s - bound_s > MAX_SKEW_S:
            yield Finding(
                code="clocks-apart",
                severity="warning",
                what=f"their clocks are {apart_s:.1f} s apart (known within {bound_s:.1f} s): "
                f"their journals do not line up",
                where=f"{one}, {other}",
                remedy="Let one time server set all clocks (docs/boards.md).",
            )


def _differing(
    values: Mapping[str, str | None], *, code: str, name: str, remedy: str
) -> Iterator[Finding]:
    known = {board: value for board, value in values.items() if value is not None}
    if len(set(known.values())) > 1:
        yield Finding(
            code=code,
            severity="warning",
            what=f"{name} is "
            + ", ".join(f"{value} on {board}" for board, value in sorted(known.items())),
            where=", ".join(sorted(known)),
            remedy=remedy,
        )


def _series(version: str | None) -> str | None:
    """Major and minor of a torch: 2.5 of 2.5.0a0+872d972e41.nv24.8."""
    return None if version is None else ".".join(version.split(".")[:2])


def _version(release: str | None) -> str | None:
    """The part of a release's id that boards share: VERSION of VERSION-DIGEST8."""
    return None if release is None else release.rpartition("-")[0]
