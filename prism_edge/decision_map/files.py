"""A map on disk: a picture, a page, or both."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from prism_edge.decision_map.grid import Grid
from prism_edge.decision_map.words import Heading
from prism_edge.errors import PrismError, SettingsError

NAME = "decision-map"
EXTRA = ("matplotlib", "jinja2", "markupsafe")


def _png(grid: Grid, head: Heading) -> bytes:
    from prism_edge.decision_map.png import png

    return png(grid, head)


def _html(grid: Grid, head: Heading) -> bytes:
    from prism_edge.decision_map.page import page

    return page(grid, head).encode()


DRAWN: Mapping[str, Callable[[Grid, Heading], bytes]] = {".html": _html, ".png": _png}


def targets(out: Path) -> list[Path]:
    """The files that ``out`` stands for. Raises ``SettingsError`` for another kind of file."""
    if out.is_dir():
        return [out / f"{NAME}{suffix}" for suffix in DRAWN]
    if out.suffix not in DRAWN:
        raise SettingsError(f"--out {out}: name a .html or .png file, or a directory that exists")
    return [out]


def write_map(grid: Grid, head: Heading, out: Path) -> list[Path]:
    """The paths written.

    Raises ``PrismError`` when what draws is not installed, or a file cannot be written.
    """
    paths = targets(out)
    for path in paths:
        try:
            drawn = DRAWN[path.suffix](grid, head)
        except ModuleNotFoundError as error:
            package = (error.name or "").partition(".")[0]
            if package not in EXTRA:
                raise
            raise PrismError(
                f"{path.name} needs {package}, which is not installed; "
                "run: pip install 'prism-edge[report]'"
            ) from error
        try:
            path.write_bytes(drawn)
        except OSError as error:
            raise PrismError(
                f"{path}: cannot be written ({error.strerror}); name another file"
            ) from error
    return paths
