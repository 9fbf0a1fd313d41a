"""The interpreter that releases are built on, and jetson-stats as far as it sees it."""

from __future__ import annotations

import re

from prism_edge.deploy.facts import PythonFacts
from prism_edge.deploy.probes import on_board


def command(python: str) -> str:
    """The line that asks ``python``."""
    return on_board.command("seen_python", python)


def facts(out: str) -> PythonFacts | None:
    """What it says of itself."""
    said = on_board.said(out)
    executable, version = on_board.text(said.get("executable")), on_board.text(said.get("version"))
    venv = on_board.flag(said.get("venv"))
    if executable is None or version is None or venv is None or not re.match(r"\d+\.\d+", version):
        return None
    return PythonFacts(executable=executable, version=version, venv=venv)


def jetson_stats(out: str) -> str | None:
    """The version of jetson-stats that it would import."""
    return on_board.text(on_board.said(out).get("jetson_stats"))
