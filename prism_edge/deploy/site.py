"""A board as the conductor sees it: it can be asked, changed and held, and knows its cluster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from prism_edge.deploy.apply import apply
from prism_edge.deploy.ask import await_group
from prism_edge.deploy.facts import Facts
from prism_edge.deploy.gather import gather
from prism_edge.deploy.locks import held
from prism_edge.deploy.runner import Runner
from prism_edge.deploy.step import Step


class Site(Protocol):
    """Every method raises ``ClusterError`` that names the board."""

    def facts(self, files: Sequence[str]) -> Facts:
        """The board as it is now, these files of it included."""

    def held(self, who: str) -> AbstractContextManager[object]:
        """Nobody else deploys to it meanwhile."""

    def apply(self, step: Step, progress: Callable[[str], None]) -> None:
        """The step is true there; ``progress`` hears how far it is, and may raise to stop it."""

    def await_group(self, boards: Sequence[str], limit_s: float) -> None:
        """All of ``boards`` work together, as this one, the leader, sees it."""


@dataclass(frozen=True, slots=True)
class RunnerSite:
    """A ``Site`` behind a ``Runner``. ``python``: the interpreter to build on, of cluster.toml."""

    runner: Runner
    python: str

    def facts(self, files: Sequence[str]) -> Facts:
        return gather(self.runner, files, self.python)

    def held(self, who: str) -> AbstractContextManager[object]:
        return held(self.runner, who)

    def apply(self, step: Step, progress: Callable[[str], None]) -> None:
        apply(step, self.runner, progress)

    def await_group(self, boards: Sequence[str], limit_s: float) -> None:
        await_group(self.runner, boards, limit_s)
