"""``prism-edge bench``: plans against each other, measured in pairs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from prism_edge.profile.compare import Comparison, Estimate

app = typer.Typer(
    name="bench", help="Plans against each other, measured in pairs.", no_args_is_help=True
)

PLANS = ["local", "split:p=2", "prism:p=2,l=10,dtype=fp16", "voltage:p=2,dtype=fp32"]


@app.callback()
def about() -> None:
    """Plans against each other, measured in pairs."""


@app.command()
def engine(
    cluster: Annotated[Path, typer.Option(help="cluster.toml of a lab")],
    model: Annotated[str, typer.Option(help="NAME=DIR, or a name listed in cluster.toml")],
    plan: Annotated[
        list[str] | None, typer.Option(help="a plan to compare; repeatable (default: one of each)")
    ] = None,
    against: Annotated[
        list[str] | None, typer.Option(help="a plan to take ratios to; repeatable (default: local)")
    ] = None,
    batch: Annotated[int, typer.Option(help="answers per request")] = 4,
    tokens: Annotated[int | None, typer.Option(help="length of texts", min=1)] = None,
    repeats: Annotated[int, typer.Option(help="rounds; each answers every plan once")] = 10,
    seed: Annotated[int, typer.Option(help="of the order within rounds and the bootstrap")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Answer the same request by every plan, again and again, and print the ratios.

    prism-edge bench engine --cluster cluster.toml --model vit=models/vit --plan local
    --plan prism:p=2,l=10,dtype=fp16 --batch 4
    """
    import dataclasses

    from prism_edge.plan import Plan
    from prism_edge.profile.compare import Wanted, compare_plans
    from prism_edge.profile.measured import Measured
    from prism_edge.profile.progress import progress_on
    from prism_edge.settings import parse_model, read_settings

    settings = read_settings(cluster)
    listed = {item.name for item in settings.models}
    if model not in listed:
        settings = settings.with_models((parse_model(model),))
    baselines = tuple(Plan.parse(text) for text in against or ["local"])
    plans = tuple(Plan.parse(text) for text in plan or PLANS)
    wanted = Wanted(
        model=model if model in listed else parse_model(model).name,
        plans=tuple(dict.fromkeys((*baselines, *plans))),
        against=baselines,
        batch=batch,
        tokens=tokens,
        repeats=repeats,
        seed=seed,
    )
    progress = progress_on()
    done = 0.0

    def tell(measured: Measured, total: float) -> None:
        nonlocal done
        done += measured.weight_s
        progress.advance(measured.text, done, total)

    try:
        found = compare_plans(settings, wanted, tell)
    finally:
        progress.close()
    print(json.dumps(dataclasses.asdict(found)) if as_json else readable(found))


def readable(found: Comparison) -> str:
    """The comparison as a table; times in ms, ratios with their 95 % intervals."""
    baselines = list(found.plans[0].ratios)
    width = max(len(plan.plan) for plan in found.plans)
    head = f"{'plan':{width}}  {'latency ms':>22}  {'wire bytes':>12}"
    lines = [head + "".join(f"  {'/ ' + base:>24}" for base in baselines)]
    for plan in found.plans:
        line = f"{plan.plan:{width}}  {_interval(plan.latency_s, 1e3, 1):>22}"
        line += f"  {plan.wire_bytes:>12,}"
        lines.append(
            line + "".join(f"  {_interval(plan.ratios[base], 1, 3):>24}" for base in baselines)
        )
    lines.append(
        "medians [95 % bootstrap interval]; ratios are paired within rounds, below 1 is faster"
    )
    lines += [f"{key:13} {value}" for key, value in found.conditions.items()]
    if found.conditions["kind"] != "boards":
        lines.append("emulated: boards are processes of one machine")
    return "\n".join(lines)


def _interval(estimate: Estimate, scale: float, digits: int) -> str:
    median, low, high = (
        f"{value * scale:.{digits}f}" for value in (estimate.median, estimate.low, estimate.high)
    )
    return f"{median} [{low}, {high}]"
