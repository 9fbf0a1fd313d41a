"""One decision printed: a table of every candidate, or the same as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from prism_edge.schedule.accuracy import drop_of
from prism_edge.schedule.cost import Prediction, Unpredictable
from prism_edge.schedule.explain import link_text, rate, seconds, size
from prism_edge.schedule.policy import choose
from prism_edge.tables.rows import measured_against

if TYPE_CHECKING:
    from prism_edge.cli.plan_situation import Situation
    from prism_edge.schedule.policy import Decision

WIDTH = 120  # columns where the output is no terminal
IN_SECONDS = 10.0  # a table whose slowest plan takes this long is in seconds
COLUMNS = {
    "request_s": "start",
    "compute_s": "compute",
    "exchange_s": "exchange",
    "input_s": "in",
    "output_s": "out",
}


def show(found: Situation, *, as_json: bool) -> None:
    """Decide, and print."""
    decision = choose(
        found.costs, batch=found.batch, tokens=found.tokens, link=found.link, aim=found.aim
    )
    if as_json:
        print(json.dumps(as_dict(found, decision), indent=2))
    else:
        _print(found, decision)


def as_dict(found: Situation, decision: Decision) -> dict[str, object]:
    """The decision as JSON holds it: times in seconds, missing is null."""
    return {
        "plan": str(decision.plan),
        "why": decision.why,
        "runner_up": str(decision.runner_up.plan) if decision.runner_up else None,
        "margin": decision.margin,
        "supposed": list(found.supposed),
        "aim": asdict(found.aim),
        "link": found.link.as_dict() if found.link else None,
        "considered": [_candidate(found, item) for item in decision.considered],
    }


def _candidate(found: Situation, item: Prediction | Unpredictable) -> dict[str, object]:
    drop = drop_of(item.plan, found.costs.drops)
    if isinstance(item, Unpredictable):
        said = {"latency_s": None, "reason": item.reason}
        return {"plan": str(item.plan), "accuracy_drop": drop, **said}
    return {
        "plan": str(item.plan),
        "accuracy_drop": drop,
        "exact": item.plan.exact,
        "extrapolated": item.extrapolated,
        "latency_s": item.latency_s,
        "low_s": item.low_s,
        "high_s": item.high_s,
        "terms": dict(item.terms),
        "energy_j": item.energy_j,
        "wire_bytes": item.work.wire_bytes,
    }


def _print(found: Situation, decision: Decision) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=WIDTH)
    console.print("\n".join(_heading(found)), markup=False, soft_wrap=True)
    known = [item for item in decision.considered if isinstance(item, Prediction)]
    guessed = [item for item in known if item.extrapolated]
    write = _s if any(item.latency_s >= IN_SECONDS for item in known) else _ms
    terms = {  # what costs a request more than its parts is not in every profile
        term: name
        for term, name in COLUMNS.items()
        if term != "request_s" or any(item.terms.get(term) for item in known)
    }
    unit = "s" if write is _s else "ms"
    caption = f"{unit}; 90 %: nine of ten requests; * the answer approximates"
    table = Table(
        caption=caption
        + ("; ~ extrapolated, not measured" if guessed else "")
        + ("; may lose: accuracy, at worst (? never measured)" if found.costs.drops else ""),
        caption_justify="left",
        box=None,
        pad_edge=False,
        header_style="bold",
    )
    table.add_column("plan", no_wrap=True)
    for name in ("total", "90 %", *terms.values(), "sent"):
        table.add_column(name, justify="right", no_wrap=True)
    energies = any(item.energy_j is not None for item in known)
    if energies:
        table.add_column("energy", justify="right", no_wrap=True)
    drops = found.costs.drops
    if drops:
        table.add_column("may lose", justify="right", no_wrap=True)
    for item in sorted(known, key=lambda item: item.latency_s):
        chosen = item.plan == decision.plan
        marks = ("" if item.plan.exact else " *") + (" ~" if item in guessed else "")
        cells = [
            f"{'>' if chosen else ' '} {item.plan}{marks}",
            write(item.latency_s),
            f"{write(item.low_s)}-{write(item.high_s)}",
            *(write(item.terms.get(term, 0.0)) for term in terms),
            size(item.work.wire_bytes) if item.work.wire_bytes else "-",
        ]
        if energies:
            cells.append("-" if item.energy_j is None else f"{item.energy_j:.3g} J")
        if drops:
            drop = drop_of(item.plan, drops)
            cells.append(("-" if item.plan.exact else "?") if drop is None else f"{drop:.3g}")
        table.add_row(*cells, style="bold green" if chosen else "")
    if known:
        console.print(table)
    for unknown in decision.considered:
        if not isinstance(unknown, Prediction):
            console.print(f"  {unknown.plan}: {unknown.reason}", markup=False, soft_wrap=True)
    console.print()
    console.print(decision.why, markup=False, soft_wrap=True)


def _heading(found: Situation) -> list[str]:
    costs, measured, link = found.costs, found.measured, found.link
    where = measured.kind if measured.kind == "boards" else f"{measured.kind}, emulated"
    lines = [
        f"{costs.model}, batch {found.batch}, {found.tokens} tokens on {found.boards} "
        f"({measured.cluster}: {where}, measured {measured.created:.10})"
    ]
    if found.supposed:
        lines.append(f"what if: {'; '.join(found.supposed)}")
    if link is not None and costs.links is not None:
        fit = costs.links.exchange
        burst = f" after the first {size(link.burst_bytes)}" if link.burst_bytes else ""
        lines.append(
            f"{link_text(link)}: {seconds(link.alpha_s)} + {rate(link)}{burst}, "
            f"{'half' if costs.links.half_duplex else 'full'} duplex; "
            f"the fit is off by {fit.error:.0%} on average".replace("%", " %")
        )
    if found.aim.max_accuracy_drop is not None:
        lines.append(f"{found.aim}, {_measured_on(found)}")
    return lines


def _measured_on(found: Situation) -> str:
    """Where the profile knows accuracy from."""
    model, said = found.costs.model, {}
    for row in found.measured.accuracy:
        if row.model == model and found.costs.drops:
            against = found.measured.conditions.get(measured_against(model, row.dataset))
            said[row.dataset] = f"{row.dataset}, n={row.n}" + (
                f", against {against}" if against else ""
            )
    if not said:
        return f"but no accuracy of {model} was measured: prism-edge evaluate --profile"
    return f"as measured on {'; '.join(said.values())}"


def _ms(value_s: float) -> str:
    value = 1e3 * value_s
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"


def _s(value_s: float) -> str:
    return f"{value_s:.2f}" if value_s < 10 else f"{value_s:.1f}"
