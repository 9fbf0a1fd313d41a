"""The prism-edge that runs here as a wheel: the same bytes from a checkout, an editable install and
an installed wheel, so that a release has one digest wherever it was made."""

from __future__ import annotations

import sys
from importlib.metadata import Distribution, distributions
from pathlib import Path

from packaging.requirements import Requirement

import prism_edge
from prism_edge.deploy.sources import INSTALLED, folder
from prism_edge.deploy.wheel_file import write_wheel
from prism_edge.errors import ClusterError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

NAME = "prism-edge"
PACKAGE = Path(prism_edge.__file__).parent


def repack(directory: Path) -> Path:
    """The wheel, in ``directory``. It has no extras: a board installs without an index."""
    files = {f"prism_edge/{path}": data for path, data in content(PACKAGE).items()}
    inside = f"prism_edge/{INSTALLED.relative_to(PACKAGE)}"
    files = {path: data for path, data in files.items() if not path.startswith(f"{inside}/")}
    files |= {f"{inside}/{path}": data for path, data in content(folder()).items()}
    about, licence = from_checkout(PACKAGE.parent) or from_installed(PACKAGE.parent)
    return write_wheel(
        directory,
        NAME,
        prism_edge.__version__,
        files,
        {
            "METADATA": about,
            "entry_points.txt": b"[console_scripts]\nprism-edge = prism_edge.cli:main\n",
            "licenses/LICENSE": licence,
        },
    )


def content(directory: Path) -> dict[str, bytes]:
    """Every file below it, by relative path; without what Python compiled and hidden files."""
    found = {}
    for path in sorted(directory.rglob("*")):
        relative = path.relative_to(directory)
        unwanted = any(part == "__pycache__" or part.startswith(".") for part in relative.parts)
        if path.is_file() and not unwanted:
            found[relative.as_posix()] = path.read_bytes()
    return found


def from_checkout(root: Path) -> tuple[bytes, bytes] | None:
    """METADATA and the licence of a checkout; None where the package does not lie in one."""
    path = root / "pyproject.toml"
    if not path.is_file():
        return None
    project = tomllib.loads(path.read_text(encoding="utf-8"))["project"]
    about = metadata(project["requires-python"], project["dependencies"])
    return about, (root / "LICENSE").read_bytes()


def from_installed(site: Path) -> tuple[bytes, bytes]:
    """The same of an installed wheel: what lies beside the package that runs, and nothing else."""
    found = list(distributions(name=NAME, path=[str(site)]))
    if not found:
        raise ClusterError(
            f"{site} holds prism_edge without its metadata; install prism-edge with pip, or run it "
            f"from a checkout"
        )
    about = found[0].metadata
    return metadata(about["Requires-Python"], found[0].requires or []), licence(found[0])


def licence(distribution: Distribution) -> bytes:
    """The text of the licence an installed wheel came with."""
    text = distribution.read_text("licenses/LICENSE")
    if text is None:
        raise ClusterError(
            f"prism-edge {distribution.version}: its licence is missing; reinstall it"
        )
    return text.encode()


def metadata(requires_python: str, requirements: list[str]) -> bytes:
    """Name, version and what it needs, written one way whoever wrote it before."""
    parsed = map(Requirement, requirements)
    needed = sorted(str(one) for one in parsed if "extra" not in str(one.marker or ""))
    lines = [
        "Metadata-Version: 2.1",
        f"Name: {NAME}",
        f"Version: {prism_edge.__version__}",
        "License: Apache-2.0",
        f"Requires-Python: {requires_python}",
        *(f"Requires-Dist: {one}" for one in needed),
    ]
    return "\n".join([*lines, ""]).encode()
