"""``prism-edge bench``: how fast every plan is, against Hugging Face, one board and its bound."""

from __future__ import annotations

import dataclasses
import json
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from prism_edge.cli import bench_energy, bench_policy, bench_serve, bench_staging

app = typer.Typer(
    name="bench", help="How fast plans, decisions and daemons are.", no_args_is_help=True
)
BOARDS, RATE, MODELS = 2, "100mbit", "vit-b16,bert-base,gpt2"


app.command("staging")(bench_staging.staging)
app.command("policy")(bench_policy.policy)
app.command("serve")(bench_serve.serve)
app.command("energy")(bench_energy.energy)


@app.callback()
def about() -> None:
    """How fast plans, decisions and daemons are."""


@app.command()
def engine(
    boards: Annotated[
        int | None, typer.Option(help=f"boards of the lab it makes ({BOARDS})", min=1, max=8)
    ] = None,
    rate: Annotated[str | None, typer.Option(help=f"rate of that lab's links ({RATE})")] = None,
    cluster: Annotated[
        Path | None, typer.Option(help="cluster.toml of a lab that is there, instead")
    ] = None,
    models: Annotated[
        str | None,
        typer.Option(help=f"{MODELS} (random weights), NAME=DIR, or names in cluster.toml"),
    ] = None,
    batches: Annotated[str, typer.Option(help="batch sizes")] = "1,4,8",
    tokens: Annotated[
        str | None, typer.Option(help="lengths of texts (bert-base 256, gpt2 512, others 128)")
    ] = None,
    plan: Annotated[
        list[str] | None,
        typer.Option(help="a plan besides local; repeatable (default: one of each method)"),
    ] = None,
    repeats: Annotated[int, typer.Option(help="rounds; each times everything once")] = 10,
    seed: Annotated[int, typer.Option(help="of inputs, orders and the bootstrap")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Time Hugging Face, local, every plan and its compute-only bound in interleaved rounds.

    Makes a lab of its own and removes it. Example: prism-edge bench engine --models vit-b16
    --batches 1,4 --rate 20mbit --plan prism:p=2,l=10,dtype=fp16 --plan voltage:p=2
    """
    from prism_edge.bench.cases import Wanted, find_models
    from prism_edge.bench.engine import Found, bench
    from prism_edge.bench.random_models import cached, default_cache
    from prism_edge.cli.bench_lab import lab_of_ours
    from prism_edge.cli.bench_table import readable
    from prism_edge.cli.profile import numbers
    from prism_edge.errors import SettingsError
    from prism_edge.plan import Plan
    from prism_edge.profile.progress import progress_on
    from prism_edge.settings import read_settings

    if cluster and (boards or rate):
        raise SettingsError("--boards and --rate are for a lab made here; --cluster has its own")
    settings = read_settings(cluster) if cluster else None
    listed = settings.models if settings else ()
    names = models.split(",") if models else [item.name for item in listed] or MODELS.split(",")
    found_models, made = find_models(names, listed, default_cache())
    wanted = Wanted(
        models=found_models,
        random=made,
        batches=numbers("--batches", batches),
        tokens=numbers("--tokens", tokens) if tokens else (),
        plans=tuple(Plan.parse(text) for text in plan or ()),
        repeats=repeats,
        seed=seed,
    )
    found, progress, done = Found(), progress_on(), 0.0

    def tell(text: str, share: float) -> None:
        nonlocal done
        done += share
        progress.advance(text, done, 1.0)

    try:
        for name in made:
            tell(f"random weights of {name}, in {default_cache()}", 0.0)
            cached(name, default_cache())
        with (
            nullcontext(settings)
            if settings
            else lab_of_ours(boards or BOARDS, rate or RATE) as place
        ):
            bench(place, wanted, found, tell)
    finally:
        progress.close()
        if found.rows:  # also what was finished before an interrupt or an error
            text = {"rows": found.rows, "conditions": found.conditions}
            print(json.dumps(text, default=dataclasses.asdict) if as_json else readable(found))
