"""A report becomes one HTML document: no script, no other file, every text escaped."""

from __future__ import annotations

import jinja2
from markupsafe import Markup

from prism_edge.report import figures, units
from prism_edge.report.palette import MARKS, css, method_of
from prism_edge.report.values import Report

LAST_BATCHES = 40
LAST_EVENTS = 60
TITLES = {
    "local": "local: one board",
    "split": "split: the batch divided",
    "prism": "prism: Segment Means",
    "voltage": "voltage: full exchange",
}


def page(report: Report) -> str:
    """The document; figures of parts that the journal lacks are left out."""
    pages = jinja2.Environment(
        loader=jinja2.PackageLoader("prism_edge.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in ("seconds", "joules", "watts", "times", "percent", "bits_per_second", "size"):
        pages.filters[name] = getattr(units, name)
    pages.filters["elapsed"] = units.elapsed
    pages.filters["digits"] = units.digits
    drawn = {
        "timeline": figures.timeline(report),
        "latencies": figures.distributions(report),
        "power": figures.power(report),
        "energy": figures.energy_by_plan(report),
    }
    return pages.get_template("page.html.j2").render(
        report=report,
        figures={name: drawing for name, drawing in drawn.items() if drawing is not None},
        numbers={phase.name: number + 1 for number, phase in enumerate(report.phases)},
        batches=report.batches[-LAST_BATCHES:][::-1],
        events=[event for event in report.events if event.kind != "phase"][-LAST_EVENTS:],
        ratios={
            "always-local": _range([g.speedup_local.ratio for g in report.groups if g.speedup_local]),
            "always-full-exchange": _range(
                [g.speedup_full.ratio for g in report.groups if g.speedup_full]
            ),
        },
        light=Markup(css(dark=False)),
        dark=Markup(css(dark=True)),
        interval=units.interval,
        markup=Markup,
        mark=lambda plan: MARKS[method_of(plan)][1],
        method=method_of,
        methods=[(name, MARKS[name][1], title) for name, title in TITLES.items()],
    )


def _range(ratios: list[float]) -> str | None:
    """``0.96× to 1.98×``, or the only one; None without any."""
    if not ratios:
        return None
    low, high = units.times(min(ratios)), units.times(max(ratios))
    return low if low == high else f"{low} to {high}"
