"""The figures of a report, each drawn for a wide and for a narrow page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator

from prism_edge.report.palette import MARKS, TONES, method_of
from prism_edge.report.svg import inline_svg
from prism_edge.report.units import elapsed, joules, seconds
from prism_edge.report.values import Batch, Group, PlanEnergy, Report

WIDE_PX, NARROW_PX = 1080, 360
MOST_POINTS = 2000  # a figure of more is thinned evenly; the numbers are not
EVENT_ORDER = ("failed", "lost", "link", "epoch", "engine", "power")


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """One figure for wide and narrow pages, as SVG elements."""

    wide: str
    narrow: str


def timeline(report: Report) -> Drawing | None:
    """Latency of every answered batch over time, and what happened; None without a batch."""
    shown = _thinned([batch for batch in report.batches if batch.latency_s is not None])
    happened = [(event.kind, event.t_s) for event in report.events if event.kind != "phase"]
    happened += [("failed", batch.t_s) for batch in report.batches if not batch.ok]
    kinds = sorted({kind for kind, _ in happened}, key=_event_place)
    if not report.batches:
        return None

    def paint(figure: Figure, width_px: int) -> None:
        rail_px = 20 * len(kinds) + 4
        height_px = 320 + rail_px
        left = 62 / width_px
        main = _axes(figure, left, (44 + rail_px) / height_px, 1 - left - 0.01, 248 / height_px)
        for asked in (True, False):
            for method, (mark, _) in MARKS.items():
                some = [b for b in shown if method_of(b.plan) == method and b.asked is asked]
                main.plot(
                    [batch.t_s for batch in some],
                    [batch.latency_s or 0.0 for batch in some],
                    linestyle="none",
                    marker=mark,
                    markersize=4.5 if asked else 6.5,
                    markerfacecolor="none" if asked else _tone(method),
                    markeredgecolor=_tone(method) if asked else _tone("paper"),
                    markeredgewidth=0.9 if asked else 0.5,
                    alpha=0.75 if asked else 1,
                )
        _log_seconds(main, "y", [batch.latency_s or 0.0 for batch in shown])
        main.grid(visible=True, axis="y")
        _phases(main, report, width_px * (1 - left))
        rail = _axes(figure, left, 40 / height_px, 1 - left - 0.01, rail_px / height_px)
        _phases(rail, report, 0)
        for place, kind in enumerate(kinds):
            bad = kind in ("failed", "lost")
            rail.plot(
                [t_s for event, t_s in happened if event == kind],
                [place for event, _ in happened if event == kind],
                linestyle="none",
                marker="x" if bad else "|",
                markersize=7 if bad else 9,
                markeredgewidth=1.8,
                color=_tone("warn" if bad else "ink"),
            )
        rail.set_ylim(len(kinds) - 0.4, -0.6)
        rail.yaxis.set_major_locator(FixedLocator(range(len(kinds))))
        rail.set_yticklabels(kinds)
        _clock(rail, report)
        main.tick_params(labelbottom=False)

    height_px = 324 + 20 * len(kinds)
    return _draw("timeline", "Latency of every batch over time", height_px, paint)


def distributions(report: Report) -> Drawing | None:
    """Latencies per phase: adaptive, always local, always full exchange; None without a batch."""
    rows: list[tuple[str, Group | None, list[Batch]]] = []
    numbers = {phase.name: number for number, phase in enumerate(report.phases)}
    for group in report.groups:
        number = numbers[group.phase]
        same = [
            b
            for b in report.batches
            if (b.phase, b.model, b.batch) == (number, group.model, group.batch)
            and b.latency_s is not None
        ]
        asked = [b for b in same if b.asked and b.meant is None]
        ways = {
            "adaptive": [b for b in same if not b.asked],
            "always local": [b for b in asked if b.plan == "local"],
            "always full": [b for b in asked if method_of(b.plan) == "voltage"],
        }
        title = f"{number + 1} · {group.phase}"
        rows.append((f"{title}  ({group.model}, batch {group.batch})", group, []))
        rows += [(way, None, each) for way, each in ways.items() if each]
    points = [b.latency_s or 0.0 for _, _, each in rows for b in each]
    if not points:
        return None
    height_px = 24 * len(rows) + 50

    def paint(figure: Figure, width_px: int) -> None:
        left = (94 if width_px > 600 else 84) / width_px
        axes = _axes(figure, left, 40 / height_px, 1 - left - 0.02, 1 - 44 / height_px)
        for place, (label, group, each) in enumerate(rows):
            if group is not None:
                short = label if width_px > 600 else label.partition("  (")[0]
                axes.text(
                    -left / (1 - left - 0.02),
                    place + 0.1,
                    short,
                    transform=axes.get_yaxis_transform(),
                    va="center",
                    fontweight="bold",
                )
                continue
            _strip(axes, place, each)
        labels = [(place, label) for place, (label, group, _) in enumerate(rows) if group is None]
        axes.yaxis.set_major_locator(FixedLocator([place for place, _ in labels]))
        axes.set_yticklabels([label for _, label in labels])
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.spines["left"].set_visible(False)
        _log_seconds(axes, "x", points)
        axes.grid(visible=True, axis="x")

    return _draw("latencies", "Latency distributions per phase", height_px, paint)


def power(report: Report) -> Drawing | None:
    """Power of every board over time; None without samples."""
    if not report.traces:
        return None
    count = len(report.traces)
    height_px = 150 * count + 44
    most_w = max(w for trace in report.traces for w in trace.high_w if w is not None)

    def paint(figure: Figure, width_px: int) -> None:
        left = 62 / width_px
        for place, trace in enumerate(report.traces):
            bottom = (40 + 150 * (count - 1 - place)) / height_px
            axes = _axes(figure, left, bottom, 1 - left - 0.01, 112 / height_px)
            none = float("nan")
            axes.fill_between(
                trace.t_s,
                [none if w is None else w for w in trace.low_w],
                [none if w is None else w for w in trace.high_w],
                color=_tone("soft"),
                alpha=0.3,
                linewidth=0,
            )
            mean_w = [none if w is None else w for w in trace.power_w]
            axes.plot(trace.t_s, mean_w, color=_tone("ink"), linewidth=1.2)
            axes.set_ylim(0, most_w * 1.08)
            axes.yaxis.set_major_locator(MaxNLocator(3))
            axes.yaxis.set_major_formatter(FuncFormatter(lambda w, _: f"{w:g} W"))
            axes.grid(visible=True, axis="y")
            said = f"{trace.board} · {trace.source} · mean {trace.mean_w:.1f} W"
            axes.text(0, 1.06, said, transform=axes.transAxes, fontweight="bold")
            _phases(axes, report, 0)
            _clock(axes, report)
            axes.tick_params(labelbottom=place == count - 1)

    return _draw("power", "Power of every board over time", height_px, paint)


def energy_by_plan(report: Report) -> Drawing | None:
    """Energy per batch by plan, all boards; None where no energy is known."""
    if not any(plan.series.energy.energy_j is not None for plan in report.plans):
        return None
    rows: list[PlanEnergy | str] = []
    for model, batch in dict.fromkeys((plan.model, plan.batch) for plan in report.plans):
        rows.append(f"{model}, batch {batch}")
        rows += [p for p in report.plans if (p.model, p.batch) == (model, batch)]
    most_j = max(_top(row) for row in rows if isinstance(row, PlanEnergy))
    height_px = 40 * len(rows) + 8

    def paint(figure: Figure, width_px: int) -> None:
        axes = _axes(figure, 0.005, 4 / height_px, 0.98, 1 - 8 / height_px)
        for place, row in enumerate(rows):
            if isinstance(row, str):
                axes.text(0, place, row, va="center", fontweight="bold")
            else:
                _bar(axes, place, row, most_j)
        axes.set_xlim(0, most_j * (1.25 if width_px > 600 else 1.5))
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_axis_off()

    return _draw("energy", "Energy per batch by plan", height_px, paint)


def _bar(axes: Axes, place: int, row: PlanEnergy, most_j: float) -> None:
    found, colour = row.series.energy, _tone(method_of(row.plan))
    axes.text(0, place - 0.3, row.plan, va="center", fontsize="small", color=_tone("soft"))
    if found.energy_j is None:
        axes.text(0, place + 0.12, f"n/a: {found.missing}", va="center")
        return
    firm = found.reliable
    axes.barh(
        place + 0.14,
        found.energy_j,
        height=0.42,
        facecolor=colour if firm else "none",
        edgecolor=colour,
        linestyle="-" if firm else "--",
    )
    if found.low_j is not None and found.high_j is not None:
        axes.plot(
            [found.low_j, found.high_j],
            [place + 0.14] * 2,
            color=_tone("ink"),
            linewidth=1.4,
            marker="|",
            markersize=7,
        )
    said = f"{joules(found.energy_j)}  n {found.n}"
    said += "" if firm else f", unreliable: {found.samples} samples"
    axes.text(_top(row) + 0.012 * most_j, place + 0.14, said, va="center")


def _top(row: PlanEnergy) -> float:
    return max(row.series.energy.energy_j or 0.0, row.series.energy.high_j or 0.0)


def _strip(axes: Axes, place: int, each: Sequence[Batch]) -> None:
    """One row of dots, spread a little, and their median."""
    for at, batch in enumerate(_thinned(each, 300)):
        method = method_of(batch.plan)
        axes.plot(
            batch.latency_s or 0.0,
            place + 0.28 * (at * 0.618034 % 1 - 0.5),  # even and irregular, and always the same
            marker=MARKS[method][0],
            markersize=5,
            color=_tone(method),
            alpha=0.55,
            markeredgewidth=0,
        )
    ordered = sorted(b.latency_s or 0.0 for b in each)
    middle = (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
    axes.plot([middle] * 2, [place - 0.34, place + 0.34], color=_tone("ink"), linewidth=2.2)


def _axes(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    axes = figure.add_axes((left, bottom, width, height))
    axes.patch.set_alpha(0)
    return axes


def _phases(axes: Axes, report: Report, width_px: float) -> None:
    """Every other phase is shaded; names where there is room, else numbers; none at width 0."""
    last_s = max(report.duration_s, 1e-3)
    axes.set_xlim(-0.01 * last_s, 1.01 * last_s)
    for number, phase in enumerate(report.phases):
        if number % 2 == 0:
            axes.axvspan(phase.start_s, phase.stop_s, color=_tone("panel"), linewidth=0, zorder=-5)
        if not width_px:
            continue
        room_px = width_px * (phase.stop_s - phase.start_s) / last_s
        name = f"{number + 1} · {phase.name}"
        axes.text(
            (phase.start_s + phase.stop_s) / 2,
            1.03,
            name if 6.8 * len(name) < room_px else str(number + 1),
            transform=axes.get_xaxis_transform(),
            ha="center",
            color=_tone("soft"),
        )


def _clock(axes: Axes, report: Report) -> None:
    steps = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 86400)
    step = next((step for step in steps if report.duration_s / step <= 8), steps[-1])
    count = min(int(report.duration_s / step) + 1, 40)
    axes.xaxis.set_major_locator(FixedLocator([step * k for k in range(count)]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda t, _: elapsed(t)))


def _log_seconds(axes: Axes, which: str, values_s: Sequence[float]) -> None:
    """A logarithmic axis of seconds with ticks at 1, 2, 5."""
    some = [value_s for value_s in values_s if value_s > 0] or [1.0]
    low, high = min(some) / 1.25, max(some) * 1.25
    axis = axes.xaxis if which == "x" else axes.yaxis
    if which == "x":
        axes.set_xscale("log")
        axes.set_xlim(low, high)
    else:
        axes.set_yscale("log")
        axes.set_ylim(low, high)
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value_s, _: seconds(value_s)))


def _event_place(kind: str) -> tuple[int, str]:
    return EVENT_ORDER.index(kind) if kind in EVENT_ORDER else len(EVENT_ORDER), kind


def _thinned(batches: Sequence[Batch], most: int = MOST_POINTS) -> list[Batch]:
    every = -(-len(batches) // most) or 1
    return list(batches[::every])


def _tone(name: str) -> str:
    return TONES[name].light


def _draw(name: str, label: str, height_px: int, paint: Callable[[Figure, int], None]) -> Drawing:
    def at(width_px: int, suffix: str, font_px: float) -> str:
        return inline_svg(
            name + suffix,
            label,
            width_px,
            height_px,
            lambda figure: paint(figure, width_px),
            font_px,
        )

    return Drawing(wide=at(WIDE_PX, "", 12.5), narrow=at(NARROW_PX, "-narrow", 11))
