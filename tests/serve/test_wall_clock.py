"""No deadline knows the wall clock, which may be set at any time: it only stamps what is kept."""

from __future__ import annotations

import ast
from pathlib import Path

import prism_edge

ROOT = Path(prism_edge.__file__).parent
WHILE_SERVING = ("serve", "engine", "transport", "schedule", "energy", "families", "tensors")
STAMPS = {  # rows of the journal, power samples, and how far the boards' clocks are apart
    "energy/child.py",
    "energy/journal.py",
    "energy/sampler.py",
    "serve/cluster.py",
    "serve/record.py",
    "serve/worker.py",
}


def reads_wall_clock(source: str) -> bool:
    """Whether ``time.time``, or ``now`` or ``today`` of a date, occurs in it."""
    return any(
        (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and (node.value.id, node.attr)
            in {("time", "time"), ("time", "time_ns"), ("datetime", "now"), ("date", "today")}
        )
        or (
            isinstance(node, ast.ImportFrom)
            and node.module == "time"
            and any(name.name in ("time", "time_ns") for name in node.names)
        )
        for node in ast.walk(ast.parse(source))
    )


def test_only_stamps_come_from_the_wall_clock() -> None:
    found = {
        str(path.relative_to(ROOT))
        for folder in WHILE_SERVING
        for path in (ROOT / folder).rglob("*.py")
        if reads_wall_clock(path.read_text(encoding="utf-8"))
    }
    assert found == STAMPS


def test_control_it_is_found_in_either_form() -> None:
    assert reads_wall_clock("import time\nend_s = time.time() + 5")
    assert reads_wall_clock("from time import time")
    assert not reads_wall_clock("import time\nend_s = time.monotonic() + 5")
