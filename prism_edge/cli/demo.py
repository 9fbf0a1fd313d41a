"""``prism-edge demo``: everything once, on this machine, in a few minutes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer


def demo(
    work: Annotated[
        Path, typer.Option(help="where models, logs, tables, journal and report go")
    ] = Path(".demo"),
) -> None:
    """Lab, profile, serve, requests, a lost board, report: the whole way through, on this machine.

    Example: prism-edge demo --work .demo
    """
    from rich.console import Console

    from prism_edge.demo.report import write_report
    from prism_edge.demo.run import run
    from prism_edge.demo.show import show
    from prism_edge.demo.summary import lost
    from prism_edge.errors import PrismError

    started_s = time.monotonic()
    console = Console()

    def say(text: str) -> None:
        elapsed_s = time.monotonic() - started_s
        print(f"{elapsed_s:5.0f} s  {text}", flush=True)

    outcome = run(work.resolve(), say)
    say("report: writing")
    page, energy_j = write_report(outcome.journal, outcome.profile, work.resolve(), outcome.results)
    show(console, outcome.results, energy_j)
    console.print(f"\nreport: {page}", markup=False, highlight=False, soft_wrap=True)
    if lost(outcome.results):
        raise PrismError(f"{lost(outcome.results)} requests were lost; see the logs in {work}/run")
