"""Figures that compare, phase by phase: latency distributions, and energy by plan."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator

from prism_edge.palette import MARKS, method_of
from prism_edge.report.canvas import Drawing, add_axes, draw, log_seconds, thinned, tone
from prism_edge.report.units import joules
from prism_edge.report.values import Batch, PlanSeries, Report

Heading = str  # a row of a figure is a heading or has values


def distributions(report: Report) -> Drawing | None:
    """Latencies per phase: adaptive, always local, always full exchange; None without any."""
    rows: list[Heading | tuple[str, list[Batch]]] = []
    for group in report.groups:
        number = _number(report, group.phase)
        same = [
            b
            for b in report.batches
            if (b.phase, b.model, b.batch) == (number, group.model, group.batch)
            and b.ok
            and b.latency_s is not None
        ]
        asked = [b for b in same if b.asked and b.meant is None]
        ways = {
            "adaptive": [b for b in same if not b.asked],
            "always local": [b for b in asked if b.plan == "local"],
            "always full": [b for b in asked if method_of(b.plan) == "voltage"],
        }
        if any(ways.values()):
            rows.append(_heading(number, group.phase, group.model, group.batch))
            rows += [(way, each) for way, each in ways.items() if each]
    points = [b.latency_s or 0.0 for row in rows if not isinstance(row, str) for b in row[1]]
    if not points:
        return None

    def paint(figure: Figure, width_px: int, height_px: int) -> None:
        left = (94 if width_px > 600 else 84) / width_px
        axes = add_axes(figure, left, 40 / height_px, 1 - left - 0.02, 1 - 44 / height_px)
        labels = {}
        for place, row in enumerate(rows):
            if isinstance(row, str):
                _head(axes, place, row, -left / (1 - left - 0.02), width_px)
            else:
                labels[place], each = row
                _strip(axes, place, thinned(each, 300))
        axes.yaxis.set_major_locator(FixedLocator(list(labels)))
        axes.set_yticklabels(list(labels.values()))
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.spines["left"].set_visible(False)
        log_seconds(axes, "x", points)
        axes.grid(visible=True, axis="x")

    label = "Latency distributions per phase"
    return draw("latencies", label, lambda _: 24 * len(rows) + 50, paint)


def energy_by_plan(report: Report) -> Drawing | None:
    """Energy per request by phase and plan, all boards; None where no energy is known."""
    known = [plan.series.energy for plan in report.plans]
    if not any(found.energy_j is not None for found in known):
        return None
    rows: list[Heading | PlanSeries] = []
    keys = dict.fromkeys((plan.phase, plan.model, plan.batch) for plan in report.plans)
    for key in keys:
        rows.append(_heading(_number(report, key[0]), *key))
        rows += [p for p in report.plans if (p.phase, p.model, p.batch) == key]
    most_j = max(_top(plan) for plan in report.plans)
    firm = all(found.reliable for found in known if found.energy_j is not None)

    def paint(figure: Figure, width_px: int, height_px: int) -> None:
        wide = width_px > 600
        left = 196 / width_px if wide else 0.002
        axes = add_axes(figure, left, 2 / height_px, 1 - left - 0.002, 1 - 4 / height_px)
        for place, row in enumerate(rows):
            if isinstance(row, str):
                _head(axes, place, row, -left / (1 - left - 0.002), width_px)
            else:
                _bar(axes, place, row, most_j, wide)
        room = (1.3 if wide else 1.6) if firm else (1.5 if wide else 2.6)  # for the values' text
        axes.set_xlim(0, most_j * room)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_axis_off()

    label = "Energy per request by phase and plan"
    return draw("energy", label, lambda px: (26 if px > 600 else 36) * len(rows), paint)


def foresight(report: Report) -> Drawing | None:
    """What requests took over what was predicted; None when nothing was predicted."""
    shown = thinned(
        [b for b in report.batches if b.ok and b.meant is None and b.predicted_s and b.run_s > 0]
    )
    if not shown:
        return None
    both = [value for b in shown for value in (b.predicted_s or 0.0, b.run_s)]

    def paint(figure: Figure, width_px: int, height_px: int) -> None:
        left, wide = 68 / width_px, min(1.0, 560 / width_px)
        axes = add_axes(figure, left, 58 / height_px, wide - left - 0.01, 1 - 66 / height_px)
        log_seconds(axes, "x", both)
        log_seconds(axes, "y", both)
        ends = axes.get_xlim()
        axes.plot(ends, ends, color=tone("soft"), linewidth=1)
        for method, (mark, _) in MARKS.items():
            some = [b for b in shown if method_of(b.plan) == method]
            axes.plot(
                [b.predicted_s or 0.0 for b in some],
                [b.run_s for b in some],
                linestyle="none",
                marker=mark,
                markersize=6,
                color=tone(method),
                alpha=0.6,
                markeredgewidth=0,
            )
        axes.grid(visible=True)
        axes.set_xlabel("predicted")
        axes.text(0.01, 0.97, "took", transform=axes.transAxes, va="top", color=tone("soft"))

    return draw("foresight", "Measured against predicted time", lambda _: 380, paint)


def _number(report: Report, phase: str) -> int:
    return next(number for number, span in enumerate(report.phases) if span.name == phase)


def _heading(number: int, phase: str, model: str, batch: int) -> Heading:
    return f"{number + 1} · {phase}  ({model}, batch {batch})"


def _head(axes: Axes, place: int, text: Heading, x: float, width_px: int) -> None:
    """A row that names what follows; without model and batch where there is no room."""
    axes.text(
        x,
        place + 0.1,
        text if width_px > 600 else text.partition("  (")[0],
        transform=axes.get_yaxis_transform(),
        va="center",
        fontweight="bold",
    )


def _strip(axes: Axes, place: int, each: Sequence[Batch]) -> None:
    """One row of dots, spread a little, and their median."""
    # even and irregular, and always the same
    spread = [(batch, place + 0.28 * (at * 0.618034 % 1 - 0.5)) for at, batch in enumerate(each)]
    for method, (mark, _) in MARKS.items():
        some = [(batch, y) for batch, y in spread if method_of(batch.plan) == method]
        axes.plot(
            [batch.latency_s or 0.0 for batch, _ in some],
            [y for _, y in some],
            linestyle="none",
            marker=mark,
            markersize=5,
            color=tone(method),
            alpha=0.55,
            markeredgewidth=0,
        )
    middle = median(b.latency_s or 0.0 for b in each)
    axes.plot([middle] * 2, [place - 0.34, place + 0.34], color=tone("ink"), linewidth=2.2)


def _bar(axes: Axes, place: int, row: PlanSeries, most_j: float, wide: bool) -> None:
    """A bar with its interval and its plan, at its left or, on a narrow page, above it."""
    found, colour = row.series.energy, tone(method_of(row.plan))
    middle, height = (place, 0.56) if wide else (place + 0.2, 0.38)
    axes.text(
        -0.01 * most_j if wide else 0,
        middle if wide else place - 0.22,
        row.plan,
        ha="right" if wide else "left",
        va="center",
        color=tone("soft"),
    )
    if found.energy_j is None:
        axes.text(0, middle, f"n/a: {(found.missing or '').partition(';')[0]}", va="center")
        return
    firm = found.reliable
    axes.barh(
        middle,
        found.energy_j,
        height=height,
        facecolor=colour if firm else "none",
        edgecolor=colour,
        linestyle="-" if firm else "--",
    )
    if found.low_j is not None and found.high_j is not None:
        ends = [found.low_j, found.high_j]
        axes.plot(ends, [middle] * 2, color=tone("ink"), lw=1.4, marker="|", markersize=7)
    said = f"{joules(found.energy_j)} · n {found.n}"
    said += "" if firm else f" · unreliable ({found.samples} samples)"
    axes.text(_top(row) + 0.015 * most_j, middle, said, va="center")


def _top(row: PlanSeries) -> float:
    return max(row.series.energy.energy_j or 0.0, row.series.energy.high_j or 0.0)
