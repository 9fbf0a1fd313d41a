"""``prism-edge bench policy``: how good decisions are, against static plans and an oracle."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

MODEL = "vit-s16"
BOARDS, RATE = 2, "100mbit"


def policy(
    boards: Annotated[
        int | None, typer.Option(help=f"boards of the lab it makes ({BOARDS})", min=2, max=8)
    ] = None,
    rate: Annotated[
        str | None, typer.Option(help=f"rate at which that lab is profiled ({RATE})")
    ] = None,
    cluster: Annotated[
        Path | None, typer.Option(help="cluster.toml of a lab that is there, instead")
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(help=f"NAME=DIR, or a size with random weights; repeatable ({MODEL})"),
    ] = None,
    plan: Annotated[
        list[str] | None,
        typer.Option(help="a plan besides local; repeatable (default: one of each method)"),
    ] = None,
    requests: Annotated[int, typer.Option(help="length of the trace")] = 240,
    profile: Annotated[
        Path | None, typer.Option(help="tables of this very lab; else it is profiled first")
    ] = None,
    seed: Annotated[int, typer.Option(help="of trace, inputs, orders and the bootstrap")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Answer one trace adaptively, by every static plan and by an oracle, interleaved.

    Links change in steps and ramps, and other work slows one board for a while. Makes a lab of its
    own and removes it. Example: prism-edge bench policy --model vit=models/vit --requests 240
    """
    from prism_edge.bench.cases import find_models
    from prism_edge.bench.policy import Found, Wanted, bench
    from prism_edge.bench.policy_report import report
    from prism_edge.bench.random_models import cached, default_cache
    from prism_edge.cli.bench_lab import lab_of_ours
    from prism_edge.cli.bench_policy_table import readable
    from prism_edge.errors import SettingsError
    from prism_edge.plan import Plan
    from prism_edge.profile.progress import progress_on
    from prism_edge.settings import read_settings

    if cluster and (boards or rate):
        raise SettingsError("--boards and --rate are for a lab made here; --cluster has its own")
    settings = read_settings(cluster) if cluster else None
    listed = settings.models if settings else ()
    count = len(settings.boards) if settings else boards or BOARDS
    names = model or [item.name for item in listed] or [MODEL]
    models, made = find_models(names, listed, default_cache())
    usual = (f"split:p={count}", f"prism:p={count},l=10,dtype=fp16", f"voltage:p={count}")
    wanted = Wanted(
        models=models,
        random=made,
        plans=tuple(Plan.parse(text) for text in plan or usual),
        requests=requests,
        seed=seed,
        profile=profile,
    )
    found, progress = Found(), progress_on()

    def tell(text: str, share: float) -> None:
        progress.advance(text, share, 1.0)

    try:
        for name in made:
            tell(f"random weights of {name}, in {default_cache()}", 0.0)
            cached(name, default_cache())
        with nullcontext(settings) if settings else lab_of_ours(count, rate or RATE) as place:
            bench(place, wanted, found, tell)
    finally:
        progress.close()
        if found.rounds:  # also what was finished before an interrupt or an error
            said = report(found)
            print(json.dumps(said) if as_json else readable(said))
