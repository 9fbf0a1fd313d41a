"""The files of deploy/ are found from a checkout and from an installed wheel alike."""

from __future__ import annotations

from pathlib import Path

from prism_edge.errors import ClusterError

INSTALLED = Path(__file__).parent / "files"  # where a wheel has them (pyproject.toml)
CHECKOUT = Path(__file__).parents[2] / "deploy"


def folder() -> Path:
    """The directory that holds them."""
    for path in (INSTALLED, CHECKOUT):
        if path.is_dir():
            return path
    raise ClusterError(
        f"the files for boards are neither in {INSTALLED} nor in {CHECKOUT}; reinstall prism-edge"
    )


def source(name: str) -> Path:
    """The file that is called ``name`` in deploy/."""
    path = folder() / name
    if not path.is_file():
        raise ClusterError(f"{path} is missing; reinstall prism-edge")
    return path
