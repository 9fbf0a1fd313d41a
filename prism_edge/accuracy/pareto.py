"""What every plan scores against what it sends, and which plans nothing beats in both: a figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import jinja2
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from prism_edge.accuracy.evaluate import Evaluated
from prism_edge.errors import InputError
from prism_edge.palette import MARKS, css, method_of
from prism_edge.report import units
from prism_edge.report.canvas import add_axes, draw, tone
from prism_edge.report.svg import png
from prism_edge.schedule.accuracy import LESS_IS_BETTER

WIDTH_PX, HEIGHT_PX = 1080, 520


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """A plan in the figure; its score's interval is the score itself where there is none.
    ``best``: nothing that sends less, or as much, scores as well."""

    plan: str
    wire_bytes: float
    value: float
    low: float
    high: float
    n: int
    best: bool


def spots(found: Sequence[Evaluated]) -> tuple[str, list[Spot]]:
    """The first metric that the exact model has, and every plan's: by bytes. Pure.

    Raises ``InputError`` when it has none.
    """
    if not found[0].scores:
        raise InputError(f"{found[0].plan} has no score that could be drawn; give data with labels")
    metric = found[0].scores[0].metric
    sign = -1 if metric in LESS_IS_BETTER else 1
    scored = sorted(
        (
            (each.wire_bytes, str(each.plan), score)
            for each in found
            for score in each.scores
            if score.metric == metric
        ),
        key=lambda one: (one[0], -sign * one[2].value, one[1]),
    )
    best: float | None = None
    made = []
    for wire_bytes, plan, score in scored:
        sends = wire_bytes > 0
        leads = sends and (best is None or sign * score.value > best)
        best = sign * score.value if leads else best
        made.append(
            Spot(
                plan=plan,
                wire_bytes=wire_bytes,
                value=score.value,
                low=score.value if score.low is None else score.low,
                high=score.value if score.high is None else score.high,
                n=score.n,
                best=leads,
            )
        )
    return metric, made


def picture(title: str, found: Sequence[Evaluated]) -> bytes:
    """The figure as PNG, on light paper."""
    metric, shown = spots(found)

    def paint(figure: Figure) -> None:
        _paint(figure, WIDTH_PX, HEIGHT_PX, metric, shown)
        figure.suptitle(title, x=0.02, ha="left", fontsize=15, fontweight="bold")

    return png(WIDTH_PX, HEIGHT_PX, paint)


def page(title: str, found: Sequence[Evaluated]) -> str:
    """The figure and its numbers as one HTML document, for light and dark screens."""
    metric, shown = spots(found)
    loader = (
        jinja2.PackageLoader("prism_edge.accuracy", "."),
        jinja2.PackageLoader("prism_edge.report", "."),
    )
    pages = jinja2.Environment(
        loader=jinja2.ChoiceLoader(loader), autoescape=True, undefined=jinja2.StrictUndefined
    )
    drawing = draw(
        "pareto",
        f"{metric} against bytes sent per request",
        lambda px: HEIGHT_PX if px > 600 else 340,
        lambda figure, wide, tall: _paint(figure, wide, tall, metric, shown),
    )
    return pages.get_template("pareto.html.j2").render(
        title=title,
        metric=metric,
        spots=shown,
        wide=Markup(drawing.wide),
        narrow=Markup(drawing.narrow),
        light=Markup(css(dark=False)),
        dark=Markup(css(dark=True)),
        size=units.size,
        method=method_of,
        mark=lambda plan: MARKS[method_of(plan)][1],
    )


def _paint(
    figure: Figure, width_px: int, height_px: int, metric: str, shown: Sequence[Spot]
) -> None:
    wide = width_px > 600
    left, top = (80 if wide else 58) / width_px, 1 - (60 if wide else 20) / height_px
    bottom = 60 / height_px
    axes = add_axes(figure, left, bottom, 1 - left - 0.03, top - bottom)
    sending = [spot for spot in shown if spot.wire_bytes > 0]
    axes.set_xscale("log")
    if sending:
        low, high = sending[0].wire_bytes, sending[-1].wire_bytes
        axes.set_xlim(low / 1.6, high * 1.6)
    for spot in shown:
        if spot.wire_bytes == 0:
            colour = tone(method_of(spot.plan))
            axes.axhspan(spot.low, spot.high, color=colour, alpha=0.1, linewidth=0)
            axes.axhline(spot.value, color=colour, linewidth=1.4)
            continue
        colour = tone(method_of(spot.plan))
        axes.plot([spot.wire_bytes] * 2, [spot.low, spot.high], color=colour, linewidth=1.4)
        axes.plot(
            [spot.wire_bytes],
            [spot.value],
            linestyle="none",
            marker=MARKS[method_of(spot.plan)][0],
            markersize=9,
            color=colour,
            markerfacecolor=colour if spot.best else tone("paper"),
        )
    best = [spot for spot in sending if spot.best]
    axes.plot(
        [spot.wire_bytes for spot in best],
        [spot.value for spot in best],
        color=tone("soft"),
        linewidth=1,
        zorder=0,
        drawstyle="steps-post",
    )
    for spot in best if wide else []:
        late = spot.wire_bytes**2 > sending[0].wire_bytes * sending[-1].wire_bytes
        axes.annotate(
            spot.plan,
            (spot.wire_bytes, spot.value),
            xytext=(-9 if late else 9, 6),
            textcoords="offset points",
            ha="right" if late else "left",
            color=tone("ink"),
            bbox={"facecolor": tone("paper"), "alpha": 0.75, "pad": 1, "linewidth": 0},
        )
    if metric in LESS_IS_BETTER:
        axes.invert_yaxis()
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if wide else (1,)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: units.size(x)))
    axes.set_xlabel("bytes sent per request")
    axes.set_ylabel(f"{metric} (higher up is better)")
    axes.grid(visible=True)
    names = list(dict.fromkeys(method_of(spot.plan) for spot in shown))
    handles = [
        Line2D(
            [],
            [],
            color=tone(name),
            marker="" if name == "local" else MARKS[name][0],
            linestyle="-" if name == "local" else "none",
            label="local: sends nothing" if name == "local" else name,
        )
        for name in names
    ]
    axes.legend(handles=handles, loc="lower right", frameon=False)
