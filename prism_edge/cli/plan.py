"""``prism-edge plan``: every candidate with what it would take, and the choice with its reason."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prism_edge.errors import PlanError, SettingsError, TableError

if TYPE_CHECKING:
    from prism_edge.schedule.cost import Costs, Prediction, Unpredictable
    from prism_edge.schedule.link import LinkState
    from prism_edge.schedule.policy import Decision
    from prism_edge.tables import Profile

OBJECTIVES = ("latency", "energy", "edp")
WIDTH = 100  # columns where the output is no terminal


def plan(
    profile: Annotated[Path, typer.Option(help="Directory of cost tables.")] = Path("profiles/lab"),
    model: Annotated[str, typer.Option(help="Which model; may be left out if only one.")] = "",
    batch: Annotated[int, typer.Option(min=1, help="Samples answered together.")] = 1,
    tokens: Annotated[int, typer.Option(help="Tokens per sample; 0: the model's most.")] = 0,
    rate: Annotated[str, typer.Option(help="Another link rate than profiled: 50mbit.")] = "",
    boards: Annotated[int, typer.Option(help="Boards in service; 0: all profiled.")] = 0,
    objective: Annotated[str, typer.Option(help="latency | energy | edp")] = "latency",
    exact: Annotated[bool, typer.Option("--exact", help="No plan that approximates.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Predict every plan, and choose.

    Example: prism-edge plan --profile profiles/lab --batch 8 --rate 50mbit
    """
    from prism_edge import tables
    from prism_edge.cluster.shaping import parse_rate
    from prism_edge.schedule.cost import costs_of
    from prism_edge.schedule.events import Aim
    from prism_edge.schedule.policy import choose

    if objective not in OBJECTIVES:
        raise SettingsError(f"--objective {objective!r}, allowed is {', '.join(OBJECTIVES)}")
    rate_bps = parse_rate(rate) if rate else None
    measured = tables.read(profile)
    costs = costs_of(measured, _model(measured, model))
    link = costs.link
    if rate_bps is not None:
        if costs.links is None:
            raise TableError(f"{profile}: no link was profiled, so --rate says too little")
        link = costs.links.given(rate_bps)
    decision = choose(
        costs,
        batch=batch,
        tokens=_tokens(costs, tokens),
        boards=_boards(costs, boards),
        link=link,
        aim=Aim(objective=objective, exact=exact),  # type: ignore[arg-type]
    )
    if as_json:
        print(json.dumps(as_dict(decision, link), indent=2))
    else:
        _show(decision, measured, costs, link, batch, _tokens(costs, tokens))


def as_dict(decision: Decision, link: LinkState | None) -> dict[str, object]:
    """The decision as JSON holds it: times in seconds, missing is null."""
    return {
        "plan": str(decision.plan),
        "why": decision.why,
        "runner_up": str(decision.runner_up.plan) if decision.runner_up else None,
        "margin": decision.margin,
        "link": None
        if link is None
        else {
            "alpha_s": link.alpha_s,
            "bandwidth_bps": link.bandwidth_bps if math.isfinite(link.bandwidth_bps) else None,
            "source": link.source,
        },
        "considered": [_candidate(item) for item in decision.considered],
    }


def _candidate(item: Prediction | Unpredictable) -> dict[str, object]:
    from prism_edge.schedule.cost import Unpredictable

    if isinstance(item, Unpredictable):
        return {"plan": str(item.plan), "latency_s": None, "reason": item.reason}
    return {
        "plan": str(item.plan),
        "exact": item.plan.exact,
        "latency_s": item.latency_s,
        "low_s": item.low_s,
        "high_s": item.high_s,
        "terms": dict(item.terms),
        "energy_j": item.energy_j,
        "wire_bytes": item.work.wire_bytes,
    }


def _show(
    decision: Decision,
    measured: Profile,
    costs: Costs,
    link: LinkState | None,
    batch: int,
    tokens: int,
) -> None:
    from rich.console import Console
    from rich.table import Table

    from prism_edge.schedule.cost import Prediction
    from prism_edge.schedule.explain import link_text, rate, seconds, size

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=WIDTH)
    names = ", ".join(board.name for board in costs.boards)
    where = measured.kind if measured.kind == "boards" else f"{measured.kind}, emulated"
    lines = [
        f"{costs.model}, batch {batch}, {tokens} tokens on {names} "
        f"({measured.cluster}: {where}, measured {measured.created:.10})"
    ]
    if link is not None and costs.links is not None:
        fit = costs.links.exchange
        lines.append(
            f"{link_text(link)}: {seconds(link.alpha_s)} + {rate(link)}, "
            f"{'half' if costs.links.half_duplex else 'full'} duplex; "
            f"the fit is off by {fit.error:.0%} on average".replace("%", " %")
        )
    console.print("\n".join(lines), markup=False, soft_wrap=True)
    table = Table(
        caption="ms; 90 %: nine of ten requests; * the answer approximates",
        caption_justify="left",
        box=None,
        pad_edge=False,
        header_style="bold",
    )
    table.add_column("plan", no_wrap=True)
    for name in ("total", "90 %", "compute", "exchange", "in", "out", "sent"):
        table.add_column(name, justify="right", no_wrap=True)
    known = [item for item in decision.considered if isinstance(item, Prediction)]
    energies = any(item.energy_j is not None for item in known)
    if energies:
        table.add_column("energy", justify="right", no_wrap=True)
    for item in sorted(known, key=lambda item: item.latency_s):
        chosen = item.plan == decision.plan
        cells = [
            f"{'>' if chosen else ' '} {item.plan}{'' if item.plan.exact else ' *'}",
            _ms(item.latency_s),
            f"{_ms(item.low_s)}-{_ms(item.high_s)}",
            *(
                _ms(item.terms.get(term))
                for term in ("compute_s", "exchange_s", "input_s", "output_s")
            ),
            size(item.work.wire_bytes) if item.work.wire_bytes else "-",
        ]
        if energies:
            cells.append("-" if item.energy_j is None else f"{item.energy_j:.3g} J")
        table.add_row(*cells, style="bold green" if chosen else "")
    if known:
        console.print(table)
    for unknown in decision.considered:
        if not isinstance(unknown, Prediction):
            console.print(f"  {unknown.plan}: {unknown.reason}", markup=False, soft_wrap=True)
    console.print()
    console.print(decision.why, markup=False, soft_wrap=True)


def _ms(value_s: float | None) -> str:
    if value_s is None:
        return "-"
    value = 1e3 * value_s
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"


def _model(measured: Profile, name: str) -> str:
    known = [entry.name for entry in measured.models]
    if name in known:
        return name
    if not name and len(known) == 1:
        return known[0]
    what = f"--model {name!r} was not profiled" if name else "--model is needed"
    raise SettingsError(f"{what}; this profile holds {', '.join(known) or 'no model'}")


def _tokens(costs: Costs, tokens: int) -> int:
    shape = costs.shape
    if not tokens:
        return shape.tokens
    if not 0 < tokens <= shape.tokens or (shape.fixed_tokens and tokens != shape.tokens):
        allowed = f"{'' if shape.fixed_tokens else '1 to '}{shape.tokens}"
        raise PlanError(f"--tokens {tokens}, allowed for {costs.model} is {allowed}")
    return tokens


def _boards(costs: Costs, boards: int) -> int:
    if not 0 <= boards <= len(costs.boards):
        raise PlanError(f"--boards {boards}, profiled are {len(costs.boards)}")
    return boards or len(costs.boards)
