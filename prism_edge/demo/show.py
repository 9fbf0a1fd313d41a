"""The demo's closing tables on the terminal."""

from __future__ import annotations

from collections.abc import Mapping

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from prism_edge.demo.summary import Results, accuracy, lines, lost


def show(
    console: Console, results: Mapping[str, Results], energy_j: Mapping[tuple[str, int], float]
) -> None:
    """Print what the policy chose in each phase, against the two fixed plans; accuracy; losses.

    ``energy_j``: modelled joules per adaptive request, all boards, by phase and batch.
    """
    table = Table(
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        title="ViT-B/16-sized model: median latency, adaptive against two fixed plans",
        title_justify="left",
    )
    for name, justify in (
        ("phase", "left"),
        ("batch", "right"),
        ("chosen", "left"),
        ("adaptive", "right"),
        ("always local", "right"),
        ("always full", "right"),
        ("energy*", "right"),
        ("lost", "right"),
    ):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    for line in lines(results):
        joules = energy_j.get((line.phase, line.batch))
        table.add_row(
            line.phase,
            str(line.batch),
            line.plans,
            _seconds(line.adaptive_s),
            _seconds(line.local_s),
            _seconds(line.full_s),
            "-" if joules is None else f"{joules:.1f} J",
            str(line.lost),
        )
    console.print(table)
    right = Table(box=SIMPLE_HEAD, title="trained ViT on handwritten digits", title_justify="left")
    for name in ("plan", "right", "images", "accuracy"):
        right.add_column(name, justify="left" if name == "plan" else "right")
    for plan, (count, images) in accuracy(results).items():
        shown = plan or "the policy's choice"
        right.add_row(shown, str(count), str(images), f"{100 * count / images:.1f} %")
    console.print(right)
    console.print(
        "* modelled from CPU time, both boards, idle time included: no sensor was read. "
        "Boards are emulated: one core and one shaped link each."
    )
    console.print(f"requests lost: {lost(results)}", highlight=False)


def _seconds(value_s: float | None) -> str:
    return "-" if value_s is None else f"{value_s:.3f} s"
