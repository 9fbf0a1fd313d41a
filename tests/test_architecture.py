"""The shape of the package holds: imports point down, torch stays in its place, files stay small.

Every rule is a function from sources to violations, so that each has a control: a small package
that breaks it and must be caught.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = "prism_edge"

# A unit is a folder or a module directly under prism_edge. It may import lower layers; modules (not
# folders) of one layer may import each other.
LAYERS: dict[str, int] = {
    "errors": 0,
    "intervals": 0,
    "layout": 0,
    "mesh": 0,
    "palette": 0,
    "plan": 0,
    "sampling": 0,
    "sections": 0,
    "settings": 0,
    "spans": 0,
    "traffic": 0,
    "tables": 1,
    "tensors": 1,
    "changes": 2,
    "cluster": 2,
    "exchange": 2,
    "families": 2,
    "transport": 2,
    "echo": 3,
    "energy": 3,
    "exchanges": 3,
    "forward": 3,
    "generate": 3,
    "request": 3,
    "scatter": 3,
    "simulate": 3,
    "wire": 3,
    "calibrate": 4,
    "engine": 4,
    "profile": 5,
    "schedule": 5,
    "bench": 6,
    "deploy": 6,
    "report": 6,
    "serve": 6,
    "accuracy": 7,
    "client": 7,
    "decision_map": 7,
    "demo": 7,
    "cli": 8,
    "__main__": 9,
}
# What boards without torch, the agent and the command line import, directly or not, even lazily.
TORCH_FREE = frozenset(
    {
        "errors",
        "intervals",
        "layout",
        "mesh",
        "palette",
        "plan",
        "sampling",
        "sections",
        "settings",
        "spans",
        "traffic",
    }
    | {"tables", "cluster", "energy", "schedule", "report", "serve", "client"}
)
TORCH = frozenset({"torch", "transformers"})
HEAVY = frozenset({"torch", "transformers", "pandas", "fastapi", "matplotlib", "sklearn"})
MAX_LINES = 300
VAGUE_NAMES = frozenset({"utils", "util", "helpers", "helper", "common", "misc"})

Sources = dict[
    str, str
]  # dotted module name ("" parts dropped: a package is its __init__) -> source


def read_sources(directory: Path) -> Sources:
    """Every module of the package under its dotted name."""
    sources = {}
    for path in sorted(directory.rglob("*.py")):
        parts = path.relative_to(directory.parent).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        sources[name] = path.read_text(encoding="utf-8")
    return sources


def imports(module: str, sources: Sources) -> Iterator[str]:
    """Absolute names that the module imports anywhere, lazily too; submodules where meant."""
    is_package = any(name.startswith(module + ".") for name in sources)
    for node in ast.walk(ast.parse(sources[module])):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                here = module.split(".")
                up = node.level - 1 if is_package else node.level
                base = ".".join([*here[: len(here) - up], *([base] if base else [])])
            submodules = [f"{base}.{alias.name}" for alias in node.names]
            inside = [name for name in submodules if name in sources]
            yield from inside
            if len(inside) < len(submodules):
                yield base


def unit(name: str) -> str | None:
    """The unit a dotted name belongs to; None for the package itself and for other packages."""
    parts = name.split(".")
    return parts[1] if parts[0] == PACKAGE and len(parts) > 1 else None


def folders(sources: Sources) -> set[str]:
    return {name.split(".")[1] for name in sources if name.count(".") >= 2}


def layer_violations(sources: Sources) -> list[str]:
    """Imports that point up, or from one folder to its sibling in the same layer."""
    found = []
    for module in sources:
        importer = unit(module)
        if importer is None:
            continue
        if importer not in LAYERS:
            found.append(f"{module}: {importer!r} is in no layer; place it in LAYERS")
            continue
        for name in imports(module, sources):
            imported = unit(name)
            if imported is None or imported == importer:
                continue
            if imported not in LAYERS:
                found.append(f"{module}: imports {imported!r}, which is in no layer")
            elif LAYERS[imported] > LAYERS[importer]:
                found.append(f"{module}: imports {name}, which is above it")
            elif LAYERS[imported] == LAYERS[importer] and imported in folders(sources):
                found.append(f"{module}: imports {name}, its sibling")
    return sorted(set(found))


def parents(name: str) -> list[str]:
    """A module and the packages that importing it runs as well."""
    parts = name.split(".")
    return [".".join(parts[:count]) for count in range(len(parts), 0, -1)]


def torch_violations(sources: Sources, units: Iterable[str] = TORCH_FREE) -> list[str]:
    """Modules of torch-free units from which torch can be reached, with the way there."""
    wanted = frozenset(units)
    return sorted(
        way for module in sources if unit(module) in wanted for way in ways(module, sources)
    )


def ways(start: str, sources: Sources) -> list[str]:
    """One chain of imports from a module for every import of torch or transformers it reaches."""
    came_from: dict[str, str] = {}
    queue, seen, found = [*parents(start)], set(parents(start)), []
    while queue:
        module = queue.pop(0)
        for name in imports(module, sources):
            if name.split(".")[0] in TORCH:
                chain = [name]
                step = module
                while step not in (start, *parents(start)):
                    chain.append(step)
                    step = came_from[step]
                found.append(" <- ".join([*chain, step, *([start] if step != start else [])]))
            for target in parents(name):
                if target in sources and target not in seen:
                    seen.add(target)
                    came_from[target] = module
                    queue.append(target)
    return found


def cycle(sources: Sources) -> list[str]:
    """The modules of one import cycle, in order; empty if there is none."""
    graph = {name: sorted({n for n in imports(name, sources) if n in sources}) for name in sources}
    done: set[str] = set()

    def visit(module: str, path: list[str]) -> list[str]:
        if module in path:
            return [*path[path.index(module) :], module]
        if module in done:
            return []
        for target in graph[module]:
            found = visit(target, [*path, module])
            if found:
                return found
        done.add(module)
        return []

    return next((found for name in sorted(graph) if (found := visit(name, []))), [])


def importers(package: str, sources: Sources) -> list[str]:
    """Modules that import a package of somebody else's."""
    return sorted(
        module
        for module in sources
        if any(name.split(".")[0] == package for name in imports(module, sources))
    )


def size_violations(sources: Sources) -> list[str]:
    """Modules longer than a reader should have to bear."""
    counts = {name: len(source.splitlines()) for name, source in sources.items()}
    return sorted(f"{name}: {count} lines" for name, count in counts.items() if count > MAX_LINES)


def name_violations(paths: Iterable[Path]) -> list[str]:
    """Files and folders whose name says nothing."""
    return sorted(str(path) for path in paths if VAGUE_NAMES & {Path(p).stem for p in path.parts})


def loaded_by(statements: str, names: Iterable[str]) -> set[str]:
    """Which of the named modules a fresh interpreter holds after the statements."""
    code = f"{statements}\nimport json, sys\nprint('\\n' + json.dumps(sorted(sys.modules)))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return set(json.loads(done.stdout.splitlines()[-1])) & set(names)


@pytest.fixture(scope="module")
def package() -> Sources:
    return read_sources(ROOT / PACKAGE)


def synthetic(**modules: str) -> Sources:
    """A package of the given modules: `a__b="..."` is prism_edge.a.b; packages are filled in."""
    sources = {PACKAGE: ""}
    for key, source in modules.items():
        name = f"{PACKAGE}.{key.replace('__', '.')}"
        sources |= {parent: "" for parent in parents(name) if parent not in sources}
        sources[name] = source
    return sources


def test_imports_point_down_only(package: Sources) -> None:
    assert layer_violations(package) == []


@pytest.mark.parametrize(
    ("modules", "expected"),
    [
        ({"plan": "import prism_edge.serve.http", "serve__http": ""}, "which is above it"),
        ({"plan": "def f():\n    from prism_edge.cli import main", "cli": ""}, "which is above it"),
        ({"profile__link": "from prism_edge import cli", "cli__bench": ""}, "which is above it"),
        (
            {"exchange__a": "from prism_edge.cluster.host import Host", "cluster__host": ""},
            "sibling",
        ),
        ({"exchange__a": "from ..cluster import host", "cluster__host": ""}, "its sibling"),
        ({"magic": ""}, "is in no layer"),
        ({"cli__run": "import prism_edge.magic"}, "which is in no layer"),
    ],
)
def test_an_import_that_points_up_is_caught(modules: dict[str, str], expected: str) -> None:
    violations = layer_violations(synthetic(**modules))
    assert any(expected in violation for violation in violations), violations


def test_imports_that_point_down_are_allowed() -> None:
    sources = synthetic(
        errors="",
        plan="from prism_edge.errors import PlanError",
        serve__http="from prism_edge import __version__, plan\nfrom . import oip",
        serve__oip="import json",
    )
    assert layer_violations(sources) == []


def test_torch_is_out_of_reach_of_what_must_run_without_it(package: Sources) -> None:
    assert torch_violations(package) == []


@pytest.mark.parametrize(
    "modules",
    [
        {"plan": "import torch"},
        {"plan": "def f():\n    from torch.nn import Linear"},
        {
            "schedule__cost": "from prism_edge.exchange import full",
            "exchange__full": "import torch",
        },
        {
            "schedule__cost": "import prism_edge.exchange.full",
            "exchange": "import torch",
            "exchange__full": "",
        },
        {"cluster__ssh": "from .host import Host", "cluster__host": "import transformers"},
        {"energy": "import torch", "energy__meter": ""},
    ],
)
def test_a_way_to_torch_is_caught(modules: dict[str, str]) -> None:
    assert torch_violations(synthetic(**modules)) != []


def test_torch_in_the_package_root_is_caught_everywhere() -> None:
    assert torch_violations({PACKAGE: "import torch", f"{PACKAGE}.plan": ""}) != []


def test_the_way_to_torch_is_told() -> None:
    sources = synthetic(plan="from prism_edge import wire", wire="import torch.nn")
    assert torch_violations(sources) == ["torch.nn <- prism_edge.wire <- prism_edge.plan"]


def test_torch_is_allowed_elsewhere() -> None:
    assert torch_violations(synthetic(tensors__known="import torch", plan="import json")) == []


def test_no_module_imports_itself_around_a_corner(package: Sources) -> None:
    assert cycle(package) == []


def test_a_cycle_is_caught() -> None:
    sources = synthetic(
        plan="import prism_edge.layout", layout="def f():\n from prism_edge import plan"
    )
    assert sorted(set(cycle(sources))) == ["prism_edge.layout", "prism_edge.plan"]


def test_jtop_is_imported_in_one_file_at_most(package: Sources) -> None:
    assert len(importers("jtop", package)) <= 1


def test_importers_are_found_even_when_lazy() -> None:
    lazy = "def f():\n    from jtop import jtop"
    sources = synthetic(energy__jtop=lazy, energy__meter="import jtop.core", plan="import jtopper")
    assert importers("jtop", sources) == ["prism_edge.energy.jtop", "prism_edge.energy.meter"]


def test_no_module_is_too_long(package: Sources) -> None:
    assert size_violations(package) == []


def test_a_long_module_is_caught() -> None:
    sources = synthetic(plan="x = 1\n" * MAX_LINES, layout="x = 1\n" * (MAX_LINES + 1))
    assert size_violations(sources) == [f"prism_edge.layout: {MAX_LINES + 1} lines"]


def test_every_file_is_named_after_its_idea() -> None:
    folders_of_code = (ROOT / name for name in (PACKAGE, "tests", "examples"))
    paths = [path.relative_to(ROOT) for top in folders_of_code for path in top.rglob("*.py")]
    assert len(paths) > 20
    assert name_violations(paths) == []


def test_a_vague_name_is_caught() -> None:
    paths = [
        Path("prism_edge/utils.py"),
        Path("prism_edge/common/x.py"),
        Path("prism_edge/plan.py"),
    ]
    assert name_violations(paths) == ["prism_edge/common/x.py", "prism_edge/utils.py"]


def test_help_loads_nothing_heavy() -> None:
    statements = (
        "import sys\nsys.argv = ['prism-edge', '--help']\nfrom prism_edge.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code"
    )
    assert loaded_by(statements, {"prism_edge.cli", "typer"}) == {"prism_edge.cli", "typer"}
    assert loaded_by(statements, HEAVY) == set()


def test_a_heavy_import_would_be_seen() -> None:
    assert loaded_by("import sqlite3", {"sqlite3", "wave"}) == {"sqlite3"}
