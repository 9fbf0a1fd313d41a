"""What the figures share: axes, phases, clocks and seconds, and one drawing for two page widths."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

from prism_edge.palette import TONES
from prism_edge.report.svg import inline_svg
from prism_edge.report.units import elapsed
from prism_edge.report.values import Batch, Report

WIDE_PX, NARROW_PX = 1080, 360
MOST_POINTS = 2000  # a figure of more is thinned evenly; the numbers are not


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """One figure for wide and narrow pages, as SVG elements."""

    wide: str
    narrow: str


def draw(
    name: str,
    label: str,
    height_px: Callable[[int], int],
    paint: Callable[[Figure, int, int], None],
) -> Drawing:
    """What ``paint`` draws, at both widths; it is told width and height in pixels."""

    def at(width_px: int, suffix: str, font_px: float) -> str:
        tall_px = height_px(width_px)
        return inline_svg(
            name + suffix,
            label,
            width_px,
            tall_px,
            lambda figure: paint(figure, width_px, tall_px),
            font_px,
        )

    return Drawing(wide=at(WIDE_PX, "", 12.5), narrow=at(NARROW_PX, "-narrow", 11))


def add_axes(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    """Axes without a background, placed in shares of the figure."""
    axes = figure.add_axes((left, bottom, width, height))
    axes.patch.set_alpha(0)
    return axes


def phases(axes: Axes, report: Report, width_px: float) -> None:
    """Every other phase is shaded; names where there is room, else numbers; none at width 0."""
    last_s = max(report.duration_s, 1e-3)
    axes.set_xlim(-0.01 * last_s, 1.01 * last_s)
    for number, phase in enumerate(report.phases):
        if number % 2 == 0:
            axes.axvspan(phase.start_s, phase.stop_s, color=tone("panel"), linewidth=0, zorder=-5)
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
            color=tone("soft"),
        )


def clock(axes: Axes, report: Report) -> None:
    """The x axis shows minutes and seconds since the start, at round times."""
    steps = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 86400)
    step = next((step for step in steps if report.duration_s / step <= 8), steps[-1])
    count = min(int(report.duration_s / step) + 1, 40)
    axes.xaxis.set_major_locator(FixedLocator([step * k for k in range(count)]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda t, _: elapsed(t)))
    axes.tick_params(axis="x", pad=8)


def log_seconds(axes: Axes, which: str, values_s: Sequence[float]) -> None:
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
    axis.set_major_formatter(FuncFormatter(lambda value_s, _: _tick(value_s)))


def thinned(batches: Sequence[Batch], most: int = MOST_POINTS) -> list[Batch]:
    """At most ``most`` of the batches, evenly taken."""
    every = -(-len(batches) // most) or 1
    return list(batches[::every])


def tone(name: str) -> str:
    """The colour to draw in; the page makes it follow the reader's colour scheme."""
    return TONES[name].light


def _tick(value_s: float) -> str:
    return f"{value_s:g} s" if value_s >= 0.999 else f"{value_s * 1e3:g} ms"
