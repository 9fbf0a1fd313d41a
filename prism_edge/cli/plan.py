"""``prism-edge plan``: every candidate with what it would take, and the choice with its reason."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from prism_edge.errors import SettingsError

OBJECTIVES = ("latency", "energy", "edp")


def plan(
    profile: Annotated[Path, typer.Option(help="Directory of cost tables.")] = Path("profiles/lab"),
    model: Annotated[str, typer.Option(help="Which model; may be left out if only one.")] = "",
    batch: Annotated[int, typer.Option(min=1, help="Samples answered together.")] = 1,
    tokens: Annotated[int, typer.Option(help="Tokens per sample; 0: the model's most.")] = 0,
    rate: Annotated[str, typer.Option(help="Another link rate than profiled: 50mbit.")] = "",
    boards: Annotated[int, typer.Option(help="Boards in service; 0: all profiled.")] = 0,
    objective: Annotated[str, typer.Option(help="latency | energy | edp")] = "latency",
    exact: Annotated[bool, typer.Option("--exact", help="No plan that approximates.")] = False,
    max_accuracy_drop: Annotated[
        float | None, typer.Option(min=0, help="Accuracy that may be lost: 0.005 is half a point.")
    ] = None,
    what_if: Annotated[
        str, typer.Option(help="Imagine boards=4,rate=300mbit (also model, batch, tokens).")
    ] = "",
    as_map: Annotated[
        bool, typer.Option("--map", help="Draw the choice over batches and link rates.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="With --map: FILE.html, FILE.png, or a directory for both (default: .)."),
    ] = None,
    replay: Annotated[
        Path | None, typer.Option(help="Take every decision of this journal again, and compare.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Predict every plan, and choose; draw the choice as a map; or replay a journal's decisions.

    Example: prism-edge plan --profile profiles/lab --batch 8 --rate 50mbit

    Example: prism-edge plan --profile profiles/lab --map --out map.html
    """
    if objective not in OBJECTIVES:
        raise SettingsError(f"--objective {objective!r}, allowed is {', '.join(OBJECTIVES)}")
    if out is not None and not as_map:
        raise SettingsError("--out names where --map is written; give --map too")
    if replay is not None:
        from prism_edge.cli import plan_replay

        plan_replay.replay(replay, profile, as_json=as_json)
        return
    from prism_edge.cli.plan_situation import Wish, situation
    from prism_edge.schedule.events import Aim

    found = situation(
        profile,
        Wish(model=model, batch=batch, tokens=tokens, rate=rate, boards=boards),
        what_if,
        Aim(
            objective=objective,  # type: ignore[arg-type]
            exact=exact,
            max_accuracy_drop=max_accuracy_drop,
        ),
    )
    if as_map:
        from prism_edge.cli.plan_map import draw

        draw(found, out or Path(), as_json=as_json)
    else:
        from prism_edge.cli.plan_table import show

        show(found, as_json=as_json)
