"""What can be wrong with a board, as values: what was seen, where, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from prism_edge.deploy.facts import Facts
from prism_edge.mesh import MeshSettings
from prism_edge.settings import BoardSettings, Settings

# ok: nothing to say; note: worth knowing; warning: it works, worse than it could; blocked: it
# cannot do what it is meant for
Severity = Literal["ok", "note", "warning", "blocked"]
SEVERITIES: tuple[Severity, ...] = get_args(Severity)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fix:
    """What ``check --fix`` does, as root: ``files`` (path on the board to the name of a file of
    deploy/) are laid, then ``commands`` run, each a line for ``sh``."""

    why: str
    files: Mapping[str, str] = field(default_factory=dict)
    commands: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """``code``: its heading in docs/check.md. ``what``: with the value that was seen. ``where``: a
    file, an interface, a command or boards. ``remedy``: a sentence, or commands to copy, one a
    line, each of which begins with ``$ ``."""

    code: str
    severity: Severity
    what: str
    where: str
    remedy: str
    fix: Fix | None = None


def verdict(findings: Iterable[Finding]) -> Severity:
    """The worst of them; ``ok`` when there are none."""
    return max((item.severity for item in findings), key=SEVERITIES.index, default="ok")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """The facts of a board and what it is meant for, as far as somebody said so."""

    facts: Facts
    settings: Settings | None = None
    board: BoardSettings | None = None

    @property
    def jetson(self) -> bool:
        identity = self.facts.identity
        known = " ".join((identity.model or "", *identity.compatible)).lower()
        return identity.l4t is not None or "jetson" in known or "tegra" in known

    @property
    def several(self) -> bool:
        """It shall compute together with others."""
        return self.settings is not None and len(self.settings.boards) > 1

    @property
    def cuda(self) -> bool:
        """It shall compute on a GPU."""
        return self.board is not None and self.board.device.startswith("cuda")

    @property
    def mesh(self) -> MeshSettings | None:
        """The mesh it shall be part of."""
        if self.settings is None or not self.settings.mesh.subnet or not self.several:
            return None
        return self.settings.mesh
