"""What a board no longer needs once a release serves: of a board as it is and as wished. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prism_edge.deploy import paths
from prism_edge.deploy.facts import Installed
from prism_edge.deploy.step import Prune
from prism_edge.deploy.wish import Wish


def prune(wish: Wish, now: Installed) -> Iterator[Prune]:
    """One step, or none. Kept are the wished release, the one before it and the newest others, as
    many as ``paths.KEPT``, and what these are made of."""
    kept = _kept(wish.release, now)
    gone = [paths.release(name) for name in now.releases if name not in kept]
    environments, models = {wish.environment}, {model.directory for model in wish.models}
    manifests = [now.manifests.get(name) for name in kept if name != wish.release]
    for manifest in manifests:
        if manifest is not None:
            environments.add(str(manifest.get("environment")))
            models |= _directories(manifest.get("models"))
    if None not in manifests:  # of what a release needs that says nothing, nothing may go
        gone += [f"{paths.ENVIRONMENTS}/{n}" for n in now.environments if n not in environments]
        gone += [f"{paths.MODELS}/{name}" for name in now.models if name not in models]
    gone += [f"{paths.WHEELS}/{name}" for name in now.wheels if name not in wish.bundle.wheels]
    if gone:
        yield Prune(why="no kept release needs it", paths=tuple(sorted(gone)))


def _kept(wished: str, now: Installed) -> list[str]:
    """Releases that stay, the most important first."""
    before = now.current if now.current != wished else now.previous
    order = [wished, before, *reversed(now.releases)]
    there = (*now.releases, wished)
    return [name for name in dict.fromkeys(order) if name in there][: paths.KEPT]


def _directories(models: object) -> set[str]:
    paths_there = models.values() if isinstance(models, Mapping) else ()
    return {str(path).rpartition("/")[2] for path in paths_there}
