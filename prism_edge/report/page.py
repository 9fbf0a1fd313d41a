"""A report becomes one HTML document: no script, no other file, every text escaped."""

from __future__ import annotations

from collections.abc import Sequence

import jinja2
from markupsafe import Markup

from prism_edge.palette import MARKS, css, method_of
from prism_edge.report import compared, over_time, units
from prism_edge.report.values import ComputeCost, Report

LAST_BATCHES = 40
LAST_EVENTS = 60
FILTERS = (
    "seconds",
    "elapsed",
    "joules",
    "watts",
    "times",
    "percent",
    "change",
    "bits_per_second",
    "size",
    "digits",
)
TITLES = {
    "local": "local: one board",
    "split": "split: the batch divided",
    "prism": "prism: Segment Means",
    "voltage": "voltage: full exchange",
    "other": "another method",
}


def page(report: Report, maps: Sequence[tuple[str, str]] = ()) -> str:
    """The document; figures of parts that the journal lacks are left out.

    ``maps``: decision maps as (style, HTML).
    """
    decisions = [b for b in report.batches if not b.asked or b.meant is not None or not b.ok]
    ran = {method_of(batch.plan) for batch in report.batches}
    drawn = {
        "foresight": compared.foresight(report),
        "timeline": over_time.timeline(report),
        "latencies": compared.distributions(report),
        "power": over_time.power(report),
        "energy": compared.energy_by_plan(report),
    }
    return (
        templates()
        .get_template("page.html.j2")
        .render(
            report=report,
            figures=drawn,
            numbers={phase.name: number + 1 for number, phase in enumerate(report.phases)},
            decided=len(decisions),
            decisions=decisions[-LAST_BATCHES:][::-1],
            cells=None if report.costs is None else _by_batch(report.costs.compute),
            events=[event for event in report.events if event.kind != "phase"][-LAST_EVENTS:],
            ratios={
                "always-local": _range(
                    [g.speedup_local.ratio for g in report.groups if g.speedup_local]
                ),
                "always-full-exchange": _range(
                    [g.speedup_full.ratio for g in report.groups if g.speedup_full]
                ),
            },
            map_style=None if not maps else Markup("".join(style for style, _ in maps)),
            maps=[Markup(html) for _, html in maps],
            light=Markup(css(dark=False)),
            dark=Markup(css(dark=True)),
            interval=units.interval,
            markup=Markup,
            mark=lambda plan: MARKS[method_of(plan)][1],
            method=method_of,
            methods=[
                (name, MARKS[name][1], title) for name, title in TITLES.items() if name in ran
            ],
        )
    )


def templates() -> jinja2.Environment:
    """The pages of this package, with units as filters; a name that is missing is an error."""
    pages = jinja2.Environment(
        loader=jinja2.PackageLoader("prism_edge.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in FILTERS:
        pages.filters[name] = getattr(units, name)
    return pages


def _by_batch(compute: Sequence[ComputeCost]) -> dict[str, object]:
    """Compute costs as a matrix: one row per share of a request, one column per batch size."""
    rows: dict[tuple[str, str, int, int, str], dict[int, ComputeCost]] = {}
    order = {"local, split": 0, "prism": 1, "voltage": 2}
    for cost in sorted(compute, key=lambda cost: (cost.model, order[cost.used_by])):
        key = (cost.model, cost.board, cost.tokens_own, cost.tokens_known, cost.used_by)
        rows.setdefault(key, {})[cost.batch] = cost
    return {"batches": sorted({cost.batch for cost in compute}), "rows": rows}


def _range(ratios: list[float]) -> str | None:
    """``0.96× to 1.98×``, or the only one; None without any."""
    if not ratios:
        return None
    low, high = units.times(min(ratios)), units.times(max(ratios))
    return low if low == high else f"{low} to {high}"
