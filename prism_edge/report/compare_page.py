"""A comparison becomes one HTML document: what differed, every ratio and its interval, a figure."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from prism_edge.palette import MARKS, css, method_of
from prism_edge.report import units
from prism_edge.report.canvas import Drawing, add_axes, draw, tone
from prism_edge.report.compare import CHOSEN, Comparison, Pair, Ratio
from prism_edge.report.page import templates
from prism_edge.report.values import Report


def compare_page(a: Report, b: Report, found: Comparison) -> str:
    """The document; A is what B is compared with."""
    return (
        templates()
        .get_template("compare.html.j2")
        .render(
            a=a,
            b=b,
            found=found,
            figure=_ratios([pair for pair in found.pairs if pair.latency is not None]),
            modelled="modelled" in a.power + b.power,
            chosen=CHOSEN,
            light=Markup(css(dark=False)),
            dark=Markup(css(dark=True)),
            interval=units.interval,
            markup=Markup,
            mark=lambda plan: MARKS[method_of(plan)][1],
            method=method_of,
        )
    )


def _ratios(pairs: Sequence[Pair]) -> Drawing | None:
    """Latency of B over A, one row each, on a logarithmic axis around 1; None without any."""
    if not pairs:
        return None
    ends = [x for pair in pairs if pair.latency for x in _ends(pair.latency)]
    low, high = min(ends) / 1.08, max(ends) * 1.08

    def paint(figure: Figure, width_px: int, height_px: int) -> None:
        wide = width_px > 600
        left = (430 if wide else 10) / width_px
        axes = add_axes(figure, left, 34 / height_px, 1 - left - 0.01, 1 - 40 / height_px)
        axes.set_xscale("log")
        axes.set_xlim(min(low, 0.9), max(high, 1.11))
        axes.axvline(1, color=tone("soft"), linewidth=1)
        for place, pair in enumerate(pairs):
            assert pair.latency is not None
            colour = tone("ink" if pair.way == CHOSEN else method_of(pair.way))
            first, last = _ends(pair.latency)
            axes.plot([first, last], [place] * 2, color=colour, linewidth=2)
            sure = pair.latency.differs
            axes.plot(
                [pair.latency.value],
                [place],
                marker="o" if pair.way == CHOSEN else MARKS[method_of(pair.way)][0],
                markersize=7,
                color=colour,
                markerfacecolor=colour if sure else tone("paper"),
            )
            model = f"{pair.model}, " if wide else ""
            label = f"{pair.phase} · {model}batch {pair.batch} · {pair.way}"
            axes.text(
                -0.012 if wide else 0.0,
                place if wide else place - 0.42,
                label,
                transform=axes.get_yaxis_transform(),
                ha="right" if wide else "left",
                va="center",
            )
        axes.set_ylim(len(pairs) - 0.4, -0.7)
        axes.yaxis.set_major_locator(FixedLocator([]))
        axes.spines["left"].set_visible(False)
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_locator(FixedLocator(_ticks(*axes.get_xlim(), 9 if wide else 5)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:.3g}×"))
        axes.grid(visible=True, axis="x")

    return draw(
        "ratios",
        "Latency of B over A",
        lambda px: (26 if px > 600 else 40) * len(pairs) + 44,
        paint,
    )


def _ticks(low: float, high: float, most: int) -> list[float]:
    """Round ratios around 1, as fine as there is room for."""
    for steps in ((1, 1.2, 1.5, 2, 3, 5, 6, 7, 8, 9), (1, 1.5, 2, 3, 5, 7), (1, 2, 5), (1,)):
        found = [x for power in range(-4, 5) for s in steps if low <= (x := s * 10**power) <= high]
        if len(found) <= most:
            break
    return found


def _ends(ratio: Ratio) -> tuple[float, float]:
    return (
        ratio.value if ratio.low is None else ratio.low,
        ratio.value if ratio.high is None else ratio.high,
    )
