"""Imports are declared, declarations are locked, and the locks name versions only."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
# Where a package is imported under another name than it is installed by.
DISTRIBUTIONS = {
    "PIL": "pillow",
    "jtop": "jetson-stats",
    "mlperf_loadgen": "mlcommons-loadgen",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}
# Dependencies of dependencies that are part of their interface: declaring them again adds nothing.
IMPLIED = {
    "anyio": "fastapi",
    "click": "typer",
    "markupsafe": "jinja2",
    "pydantic": "fastapi",
    "starlette": "fastapi",
}
UNLOCKED = {"torch", "jetson-stats", "prism-edge"}
LINE = re.compile(r'[a-z0-9-]+==[0-9a-z.]+(; python_version (<|==|>=) "3\.\d+")?')


def name_of(requirement: str) -> str:
    """The distribution a requirement names, normalised."""
    return re.split(r"[\[<>=;! ~]", requirement)[0].lower().replace("_", "-")


def declared() -> dict[str, set[str]]:
    """Distributions per group of pyproject.toml; "" is what every user gets."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = {"": project["dependencies"], **project["optional-dependencies"]}
    return {group: set(map(name_of, requirements)) for group, requirements in groups.items()}


def imported(source: str) -> Iterator[str]:
    """Distributions that a module imports anywhere in its text."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module or ""]
        else:
            continue
        for name in names:
            package = name.partition(".")[0]
            if package not in sys.stdlib_module_names | {"prism_edge", "tomllib", "__future__"}:
                found = DISTRIBUTIONS.get(package, package).lower().replace("_", "-")
                yield IMPLIED.get(found, found)


def undeclared(paths: Iterable[Path], allowed: set[str]) -> list[str]:
    """Imports of distributions that are not declared; modules next to a file are its own."""
    paths = list(paths)
    own = {path.stem for path in paths} | {path.parent.name for path in paths}
    return sorted(
        f"{path.name}: {name}"
        for path in paths
        for name in set(imported(path.read_text(encoding="utf-8")))
        if name not in allowed and name.replace("-", "_") not in own
    )


def unlocked(wanted: Iterable[str], lock: str) -> list[str]:
    """Declared distributions without a line in a lock."""
    return sorted(set(wanted) - set(map(name_of, lock.splitlines())) - UNLOCKED)


def odd_lines(lock: str) -> list[str]:
    """Lines of a lock that are more than a name and a version: hosts, hashes, vendor builds."""
    lines = [line for line in lock.splitlines() if line and not line.startswith("#")]
    return [line for line in lines if not LINE.fullmatch(line) or "nvidia" in line]


def test_the_package_imports_what_it_declares() -> None:
    groups = declared()
    allowed = set().union(*(groups[group] for group in ("", "report", "demo", "jetson", "parquet")))
    examples = {path.stem for path in (ROOT / "examples").rglob("*.py")}  # the demo reads them
    assert undeclared((ROOT / "prism_edge").rglob("*.py"), allowed | examples) == []


def test_tests_and_examples_import_what_is_declared() -> None:
    allowed = set().union(*declared().values(), {"kserve"})  # it has a directory of its own
    assert undeclared((ROOT / "tests").rglob("*.py"), allowed) == []
    assert undeclared((ROOT / "examples").rglob("*.py"), allowed) == []


def test_an_undeclared_import_is_caught(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(
        "import os, numpy.linalg\nimport b\nfrom . import c\n"
        "def f():\n    from tomli_w import dumps\n    import PIL.Image\n    import leftpad\n"
    )
    (tmp_path / "b.py").write_text("import click\n")
    allowed = {"numpy", "pillow", "typer"}
    assert undeclared(tmp_path.glob("*.py"), allowed) == ["a.py: leftpad", "a.py: tomli-w"]


def test_everything_declared_is_locked() -> None:
    lock = (ROOT / "requirements-dev.lock").read_text(encoding="utf-8")
    assert unlocked(set().union(*declared().values()), lock) == []
    assert unlocked({"pandas", "leftpad"}, lock) == ["leftpad"]


@pytest.mark.parametrize("name", ["dev", "jtop", "kserve", "oldest"])
def test_locks_name_versions_only(name: str) -> None:
    lock = (ROOT / f"requirements-{name}.lock").read_text(encoding="utf-8")
    assert odd_lines(lock) == []
    assert "torch" not in set(map(name_of, lock.splitlines()))


@pytest.mark.parametrize(
    "line",
    [
        "--index-url https://example.org/simple",
        "rich @ file:///wheels/rich.whl",
        "rich==15.0 --hash=sha256:00",
        "rich>=15",
        "nvidia-nccl-cu13==2.29.7",
    ],
)
def test_more_than_a_version_is_caught(line: str) -> None:
    assert odd_lines(f"# a comment\nrich==15.0.0\n{line}\n") == [line]


def test_torch_has_a_floor_that_boards_meet_and_no_ceiling() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    floors = [line for line in project["dependencies"] if name_of(line) == "torch"]
    assert floors == ["torch>=2.1"]
