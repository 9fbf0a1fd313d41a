"""Figures over time: the latency of every request, and the power of every board."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

from prism_edge.palette import MARKS, method_of
from prism_edge.report.canvas import (
    Drawing,
    add_axes,
    clock,
    draw,
    log_seconds,
    phases,
    thinned,
    tone,
)
from prism_edge.report.values import Report

EVENT_ORDER = ("failed", "lost", "link", "epoch", "engine", "power")


def timeline(report: Report) -> Drawing | None:
    """Latency of every answered request over time, and what happened; None without a request."""
    shown = thinned([batch for batch in report.batches if batch.latency_s is not None])
    happened = [(event.kind, event.t_s) for event in report.events if event.kind != "phase"]
    happened += [("failed", batch.t_s) for batch in report.batches if not batch.ok]
    kinds = sorted({kind for kind, _ in happened}, key=_event_place)
    rail_px = 20 * len(kinds) + 4
    if not report.batches:
        return None

    def paint(figure: Figure, width_px: int, height_px: int) -> None:
        left = 62 / width_px
        main = add_axes(figure, left, (44 + rail_px) / height_px, 1 - left - 0.01, 248 / height_px)
        for asked in (True, False):
            for method, (mark, _) in MARKS.items():
                some = [b for b in shown if method_of(b.plan) == method and b.asked is asked]
                main.plot(
                    [batch.t_s for batch in some],
                    [batch.latency_s or 0.0 for batch in some],
                    linestyle="none",
                    marker=mark,
                    markersize=4.5 if asked else 6.5,
                    markerfacecolor="none" if asked else tone(method),
                    markeredgecolor=tone(method) if asked else tone("paper"),
                    markeredgewidth=1.1 if asked else 0.5,
                    alpha=0.8 if asked else 1,
                )
        log_seconds(main, "y", [batch.latency_s or 0.0 for batch in shown])
        main.grid(visible=True, axis="y")
        phases(main, report, width_px * (1 - left))
        rail = add_axes(figure, left, 40 / height_px, 1 - left - 0.01, rail_px / height_px)
        phases(rail, report, 0)
        for place, kind in enumerate(kinds):
            bad = kind in ("failed", "lost")
            rail.plot(
                [t_s for event, t_s in happened if event == kind],
                [place for event, _ in happened if event == kind],
                linestyle="none",
                marker="x" if bad else "|",
                markersize=7 if bad else 9,
                markeredgewidth=1.8,
                color=tone("warn" if bad else "ink"),
            )
        rail.set_ylim(len(kinds) - 0.4, -0.6)
        rail.yaxis.set_major_locator(FixedLocator(range(len(kinds))))
        rail.set_yticklabels(kinds)
        clock(rail, report)
        main.tick_params(labelbottom=False)

    return draw("timeline", "Latency of every request over time", lambda _: 320 + rail_px, paint)


def power(report: Report) -> Drawing | None:
    """Power of every board over time; None without samples."""
    if not report.traces:
        return None
    count = len(report.traces)
    most_w = max(w for trace in report.traces for w in trace.high_w if w is not None)

    def paint(figure: Figure, width_px: int, height_px: int) -> None:
        left = 62 / width_px
        for place, trace in enumerate(report.traces):
            bottom = (44 + 150 * (count - 1 - place)) / height_px
            axes = add_axes(figure, left, bottom, 1 - left - 0.01, 112 / height_px)
            none = float("nan")
            axes.fill_between(
                trace.t_s,
                [none if w is None else w for w in trace.low_w],
                [none if w is None else w for w in trace.high_w],
                color=tone("soft"),
                alpha=0.3,
                linewidth=0,
            )
            mean_w = [none if w is None else w for w in trace.power_w]
            axes.plot(trace.t_s, mean_w, color=tone("ink"), linewidth=1.2)
            axes.set_ylim(0, most_w * 1.08)
            axes.yaxis.set_major_locator(MaxNLocator(3))
            axes.yaxis.set_major_formatter(FuncFormatter(lambda w, _: f"{w:g} W"))
            axes.grid(visible=True, axis="y")
            said = f"{trace.board} · {trace.source} · mean {trace.mean_w:.1f} W"
            axes.text(0, 1.06, said, transform=axes.transAxes, fontweight="bold")
            phases(axes, report, 0)
            _windows(axes, report)
            clock(axes, report)
            axes.tick_params(axis="x", labelbottom=place == count - 1, pad=14)

    return draw("power", "Power of every board over time", lambda _: 150 * count + 48, paint)


def _windows(axes: Axes, report: Report) -> None:
    """Below the power: a strip with the time of every request, by the method that ran."""
    for method in MARKS:
        some = [b for b in report.batches if b.ok and method_of(b.plan) == method]
        axes.broken_barh(
            [(batch.t_s, batch.run_s) for batch in some],
            (-0.09, 0.06),
            transform=axes.get_xaxis_transform(),
            color=tone(method),
            linewidth=0,
            clip_on=False,
        )


def _event_place(kind: str) -> tuple[int, str]:
    return EVENT_ORDER.index(kind) if kind in EVENT_ORDER else len(EVENT_ORDER), kind
