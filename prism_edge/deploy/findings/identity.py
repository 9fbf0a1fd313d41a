"""Which board and which Python: what of prism-edge can run there at all."""

from __future__ import annotations

from collections.abc import Iterator

from prism_edge.deploy.findings.finding import Case, Finding

MIN_PYTHON = (3, 10)  # as requires-python in pyproject.toml
MIN_JETPACK = 6  # the first with that Python


def findings(case: Case) -> Iterator[Finding]:
    yield from _l4t(case)
    yield from _python(case)


def _l4t(case: Case) -> Iterator[Finding]:
    l4t = case.facts.identity.l4t
    if l4t is not None and case.facts.identity.jetpack is None:
        yield Finding(
            code="l4t-unknown",
            severity="note",
            what=f"L4T {l4t} is in no table of ours: which JetPack it belongs to is not guessed",
            where="/etc/nv_tegra_release",
            remedy="Nothing to do if all else is well. Please report the version to us.",
        )


def _python(case: Case) -> Iterator[Finding]:
    python, least = case.facts.python, ".".join(map(str, MIN_PYTHON))
    asked = case.board.python if case.board is not None else "python3"
    if python is None:
        yield Finding(
            code="python-missing",
            severity="blocked",
            what=f"{asked} does not run",
            where=asked,
            remedy="$ sudo apt-get install python3 python3-venv\n"
            "or set python of this board in cluster.toml",
        )
        return
    version = python.version
    if tuple(int(part) for part in version.split(".")[:2]) < MIN_PYTHON:
        jetson = (
            f"JetPack {MIN_JETPACK} and later have it. What still works: reading a log of this "
            "board's tegrastats on another machine."
            if case.jetson
            else f"Install Python {least} or later and set python of this board in cluster.toml."
        )
        yield Finding(
            code="python-old",
            severity="blocked",
            what=f"Python {version}, where {least} is the oldest that prism-edge runs on",
            where=python.executable,
            remedy=jetson,
        )
    elif not python.venv:
        minor = ".".join(version.split(".")[:2])
        yield Finding(
            code="venv-missing",
            severity="blocked",
            what=f"Python {version} cannot make environments, which a release needs",
            where=f"{python.executable} -m venv",
            remedy=f"$ sudo apt-get install python{minor}-venv",
        )
