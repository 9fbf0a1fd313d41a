"""A map as one HTML document: no script, no other file; light and dark, wide and narrow."""

from __future__ import annotations

import jinja2
from markupsafe import Markup

from prism_edge.decision_map.colours import shades
from prism_edge.decision_map.grid import Grid
from prism_edge.decision_map.regions import (
    LEVELS,
    Side,
    Span,
    anchors,
    borders,
    letters,
    margin_line,
    spans,
)
from prism_edge.decision_map.words import (
    DOUBT,
    EXTRAPOLATED,
    Heading,
    marks,
    reading,
)
from prism_edge.palette import css
from prism_edge.report.units import bits_per_second, interval, percent, seconds
from prism_edge.schedule.explain import rate_text


def page(grid: Grid, head: Heading) -> str:
    """The document; every cell says what it stands for when pointed at."""
    return (
        _templates()
        .get_template("map.html.j2")
        .render(
            **_shown(grid, head, scope=""),
            rows=[
                (batch, [_row(span) for span in spans(grid, column)])
                for column, batch in enumerate(grid.batches)
            ],
            light=Markup(css(dark=False)),
            dark=Markup(css(dark=True)),
        )
    )


def section(grid: Grid, head: Heading, name: str) -> tuple[str, str]:
    """(style, HTML) of the map as a part of a page of reports; ``name`` keeps maps apart."""
    shown = _shown(grid, head, scope=f"#{name} ")
    style, html = (
        _templates().get_template(file).render(**shown, name=name)
        for file in ("map_section.css.j2", "map_section.html.j2")
    )
    return style, html


def _templates() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.ChoiceLoader(
            [
                jinja2.PackageLoader("prism_edge.decision_map", "."),
                jinja2.PackageLoader("prism_edge.report", "."),
            ]
        ),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _shown(grid: Grid, head: Heading, scope: str) -> dict[str, object]:
    """What the figure and its style are made of."""
    names = letters(grid)
    count = sum(map(len, grid.spots))
    return {
        "head": head,
        "grid": grid,
        "scope": scope,
        "names": names,
        "shades": shades(grid.plans),
        "shares": {
            plan: percent(sum(spot.plan == plan for row in grid.spots for spot in row) / count)
            for plan in grid.plans
        },
        "anchors": [(names[plan], i, k) for plan, i, k in anchors(grid)],
        "borders": _path(borders(grid), len(grid.spots)),
        "levels": [
            (head.lead(level), _path(margin_line(grid, level), len(grid.spots))) for level in LEVELS
        ],
        "marks": marks(grid),
        "ticks": [(rate_text(bps), grid.height(bps)) for bps in grid.ticks_bps],
        "reading": reading,
        "doubt": DOUBT,
        "extrapolated": EXTRAPOLATED,
    }


def _path(sides: list[Side], bands: int) -> str:
    """The sides as the path of an SVG drawing, whose y grows downwards."""
    return "".join(f"M{x} {bands - y}{'v-1' if up else 'h1'}" for x, y, up in sides)


def _row(span: Span) -> dict[str, object]:
    """What the table says about a span: rates, plan, latencies, the closest runner-up, marks."""
    first, last = span.spots[0], span.spots[-1]
    rates = interval(bits_per_second(span.low_bps), bits_per_second(span.high_bps))
    led = [spot for spot in span.spots if spot.margin is not None]
    closest = min(led, key=lambda spot: spot.margin or 0.0, default=None)
    return {
        "rates": rates,
        "plan": first.plan,
        "latency": seconds(first.latency_s)
        if seconds(first.latency_s) == seconds(last.latency_s)
        else f"{seconds(first.latency_s)} to {seconds(last.latency_s)}",
        "runner_up": None if closest is None else closest.runner_up,
        "margin": None if closest is None else percent(closest.margin),
        "certain": _share([spot.certain for spot in span.spots]),
        "extrapolated": _share([spot.extrapolated for spot in span.spots]),
    }


def _share(flags: list[bool]) -> str:
    return "yes" if all(flags) else "in part" if any(flags) else "no"
