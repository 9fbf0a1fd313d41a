"""A map as a PNG picture: made to be read on paper and by those who see no red or green."""

from __future__ import annotations

import io

from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from prism_edge.decision_map.colours import blend, shades
from prism_edge.decision_map.grid import Grid
from prism_edge.decision_map.regions import LEVELS, Side, anchors, borders, letters, margin_line
from prism_edge.decision_map.words import DOUBT, EXTRAPOLATED, Heading, marks
from prism_edge.palette import TONES
from prism_edge.plan import Plan
from prism_edge.schedule.explain import rate_text

WIDTH_IN, HEIGHT_IN, DPI = 11.0, 6.6, 160
MOST_NAMED = 14  # plans in the legend
FAINT = (*to_rgb(TONES["ink"].light), 0.55)
INK, SOFT, PAPER, LINE = (TONES[name].light for name in ("ink", "soft", "paper", "line"))
DOUBTFUL, BEYOND = "...", "///"  # hatches
STROKES = {"profiled": (0, (5, 2)), "given": (0, (1.2, 1.6))}
LEANS = {"level": "center", "up": "bottom", "down": "top"}
WIDTHS = dict(zip(LEVELS, (0.6, 1.1, 2.0), strict=True))  # the wider the margin, the thicker


def png(grid: Grid, head: Heading) -> bytes:
    """The picture's bytes."""
    figure = Figure(figsize=(WIDTH_IN, HEIGHT_IN), dpi=DPI, facecolor=PAPER)
    axes = figure.add_axes((0.085, 0.1, 0.575, 0.745))
    fills = {
        plan: blend(TONES[method].light, PAPER, share)
        for plan, (method, share) in shades(grid.plans).items()
    }
    _cells(axes, grid, fills)
    _lines(axes, grid)
    _letters(axes, grid)
    _scales(axes, grid)
    _title(figure, head)
    _legends(figure, grid, head, fills)
    file = io.BytesIO()
    figure.savefig(file, format="png", metadata={"Title": f"decision map of {head.model}"})
    return file.getvalue()


def _cells(axes: Axes, grid: Grid, fills: dict[Plan, str]) -> None:
    for k, row in enumerate(grid.spots):
        for i, spot in enumerate(row):
            fill = LINE if spot.plan is None else fills[spot.plan]
            axes.add_patch(Rectangle((i, k), 1, 1, facecolor=fill, linewidth=0, antialiased=False))
            for hatch, wanted in ((DOUBTFUL, spot.doubtful), (BEYOND, spot.extrapolated)):
                if wanted and spot.plan is not None:
                    axes.add_patch(
                        Rectangle(
                            (i, k), 1, 1, fill=False, hatch=hatch, linewidth=0, edgecolor=FAINT
                        )
                    )


def _lines(axes: Axes, grid: Grid) -> None:
    axes.add_collection(LineCollection(_ends(borders(grid)), colors=PAPER, linewidths=2.4))
    for level, width in WIDTHS.items():
        axes.add_collection(
            LineCollection(_ends(margin_line(grid, level)), colors=INK, linewidths=width)
        )
    for mark in marks(grid):
        axes.axhline(mark.height, color=INK, linewidth=1.6, linestyle=STROKES[mark.name])
        right = len(grid.batches) + 0.06
        axes.text(right, mark.height, mark.name, color=INK, fontsize=9, va=LEANS[mark.lean])


def _ends(sides: list[Side]) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    return [((x, y), (x, y + 1) if up else (x + 1, y)) for x, y, up in sides]


def _letters(axes: Axes, grid: Grid) -> None:
    names = letters(grid)
    for plan, i, k in anchors(grid):
        axes.text(
            i + 0.5,
            k + 0.5,
            names[plan],
            ha="center",
            va="center_baseline",
            fontsize=10,
            fontweight="bold",
            color=INK,
            bbox={"boxstyle": "circle,pad=0.22", "facecolor": PAPER, "edgecolor": "none"},
        )


def _scales(axes: Axes, grid: Grid) -> None:
    columns, bands = len(grid.batches), len(grid.spots)
    axes.set_xlim(0, columns)
    axes.set_ylim(0, bands)
    axes.set_xticks([i + 0.5 for i in range(columns)], [str(batch) for batch in grid.batches])
    for label, batch in zip(axes.get_xticklabels(), grid.batches, strict=True):
        label.set_fontweight("bold" if batch in grid.measured else "normal")
        label.set_color(INK if batch in grid.measured else SOFT)
    ticks = grid.ticks_bps
    axes.set_yticks([grid.height(bps) for bps in ticks], [rate_text(bps) for bps in ticks])
    axes.tick_params(length=0, colors=SOFT, labelsize=9.5)
    axes.set_xlabel("batch: samples answered together (bold: measured)", color=SOFT, fontsize=10)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _title(figure: Figure, head: Heading) -> None:
    texts = ((0.95, 15, "bold", INK, head.title), (0.913, 10, "normal", INK, head.where))
    for y, size, weight, colour, text in (*texts, (0.88, 10, "normal", SOFT, head.how)):
        figure.text(0.02, y, text, fontsize=size, fontweight=weight, color=colour, va="center")


def _legends(figure: Figure, grid: Grid, head: Heading, fills: dict[Plan, str]) -> None:
    names = letters(grid)
    plans = [Patch(facecolor=fills[plan], label=f"{names[plan]}  {plan}") for plan in grid.plans]
    if len(plans) > MOST_NAMED:
        more = f"and {len(plans) - MOST_NAMED} more; the page names them"
        plans[MOST_NAMED:] = [Patch(facecolor="none", label=more)]
    lines = [
        Line2D(
            [],
            [],
            color=INK,
            linewidth=width,
            label=head.lead(level),
        )
        for level, width in WIDTHS.items()
    ]
    signs = [
        *(
            Line2D([], [], color=INK, linewidth=1.6, linestyle=STROKES[mark.name], label=mark.text)
            for mark in marks(grid)
        ),
        *(
            Patch(facecolor=PAPER, edgecolor=INK, linewidth=0, hatch=hatch, label=text)
            for hatch, text in ((DOUBTFUL, DOUBT), (BEYOND, EXTRAPOLATED))
        ),
    ]
    top = 0.86
    for title, handles in (("Chosen plan", plans), ("Lead", lines), ("Marks", signs)):
        legend = figure.legend(
            handles=handles,
            title=title,
            loc="upper left",
            bbox_to_anchor=(0.715, top),
            frameon=False,
            fontsize=9,
            title_fontproperties={"weight": "bold", "size": 9.5},
            alignment="left",
            labelcolor=INK,
            handlelength=1.8,
            handleheight=1.2,
            borderaxespad=0,
        )
        figure.canvas.draw()  # only then is its height known
        top -= legend.get_window_extent().height / figure.bbox.height + 0.015
