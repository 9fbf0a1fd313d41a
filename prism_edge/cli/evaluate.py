"""``prism-edge evaluate``: what every plan costs in accuracy, on a user's own model and data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prism_edge.errors import PrismError, SettingsError
from prism_edge.plan import Plan

if TYPE_CHECKING:
    from prism_edge.accuracy.evaluate import Evaluated
    from prism_edge.tables import Profile


def evaluate(
    model: Annotated[Path, typer.Option(help="Directory of a Hugging Face model.")],
    data: Annotated[
        str,
        typer.Option(
            help="A file or folder, or KIND:PATH such as glue/sst2:DIR; docs/accuracy.md names "
            "the kinds."
        ),
    ],
    plans: Annotated[str, typer.Option(help="Plans, with ; between them. local is always there.")],
    profile: Annotated[
        Path | None, typer.Option(help="Cost tables to write the scores into, for the policy.")
    ] = None,
    name: Annotated[str, typer.Option(help="The model's name there; else its directory's.")] = "",
    plot: Annotated[
        Path | None, typer.Option(help=".png or .html to draw accuracy against bytes into.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Samples at most.")] = None,
    batch: Annotated[int, typer.Option(min=1, help="Samples computed together.")] = 16,
    processes: Annotated[
        int | None,
        typer.Option(min=1, max=8, help="Answer by this many processes here, not a simulation."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a row per plan and metric.")
    ] = False,
) -> None:
    """Score every plan on data: against labels, and against the exact model's own answers.

    The plan's ranks run in this process, with everything that the wire rounds; with --processes
    each is a process of its own, and what is sent goes through GLOO. Without labels
    (a .jsonl with a text field is enough) there is still agreement, or cosine_to_exact.

    Example: prism-edge evaluate --model vit --data images/ --plans "prism:p=2,l=10;astra:p=2,g=16"
    """
    wanted = [Plan.parse(text) for text in plans.split(";") if text.strip()]
    if not wanted:
        raise SettingsError("--plans names no plan; an example: 'prism:p=2,l=10;voltage:p=2'")
    if plot is not None and plot.suffix not in (".png", ".html"):
        raise SettingsError(f"--plot {plot}: name a .png or .html file")
    if not model.is_dir():
        raise SettingsError(f"--model {model}: no such directory")
    from prism_edge.accuracy.data import read_samples
    from prism_edge.accuracy.evaluate import evaluate as evaluated
    from prism_edge.accuracy.processes import by_processes
    from prism_edge.families import load
    from prism_edge.profile.progress import progress_on

    called = name or model.resolve().name
    if profile is not None:
        _tables(profile, called)
    loaded = load(model)
    samples = read_samples(data, loaded, batch=batch, limit=limit)
    progress = progress_on()
    try:
        if processes is None:
            found = evaluated(loaded, wanted, samples, progress.advance)
        else:
            with by_processes(model.resolve(), processes, wanted) as answer:
                found = evaluated(loaded, wanted, samples, progress.advance, answer)
    finally:
        progress.close()
    if profile is not None:
        _write(profile, called, samples.name, found)
    if plot is not None:
        _draw(plot, f"{called} on {samples.name}", found)
    print(json.dumps(_rows(found), indent=1) if as_json else "\n".join(_table(found)))


def _rows(found: list[Evaluated]) -> list[dict[str, object]]:
    return [
        {
            "plan": str(each.plan),
            "metric": score.metric,
            "value": score.value,
            "n": score.n,
            "ci_low": score.low,
            "ci_high": score.high,
            "wire_bytes": each.wire_bytes,
        }
        for each in found
        for score in each.scores
    ]


def _table(found: list[Evaluated]) -> list[str]:
    """A line per plan and metric."""
    wide = max(len(str(each.plan)) for each in found)
    lines = [f"{'plan':{wide}}  {'metric':15}  {'value':>7}  {'95 %':17}  {'n':>6}  bytes sent"]
    for each in found:
        for score in each.scores:
            ends = "" if score.low is None else f"{score.low:.4f} to {score.high:.4f}"
            lines.append(
                f"{each.plan!s:{wide}}  {score.metric:15}  {score.value:7.4f}  {ends:17}  "
                f"{score.n:>6}  {each.wire_bytes:,.0f}"
            )
    return lines


def _tables(profile: Path, model: str) -> Profile:
    """The profile, which has that model."""
    from prism_edge.tables import read

    tables = read(profile)
    known = [entry.name for entry in tables.models]
    if model not in known:
        raise SettingsError(
            f"{profile} holds {', '.join(known) or 'no model'}, not {model}; "
            "--name says which one it is"
        )
    return tables


def _draw(plot: Path, title: str, found: list[Evaluated]) -> None:
    try:
        from prism_edge.accuracy.pareto import page, picture
    except ModuleNotFoundError as error:
        raise PrismError(
            f"--plot needs {error.name}, which is not installed: pip install 'prism-edge[report]'"
        ) from error
    drawn = picture(title, found) if plot.suffix == ".png" else page(title, found).encode()
    try:
        plot.write_bytes(drawn)
    except OSError as error:
        raise PrismError(f"--plot {plot}: cannot be written ({error.strerror})") from error


def _write(profile: Path, model: str, dataset: str, found: list[Evaluated]) -> None:
    """The profile's accuracy rows of this model and data are these, all others stay."""
    from dataclasses import replace

    from prism_edge.tables import AccuracyRow, write

    tables = _tables(profile, model)
    rows = [
        AccuracyRow(
            model=model,
            plan=str(each.plan),
            dataset=dataset,
            metric=score.metric,
            value=score.value,
            n=score.n,
            ci_low=score.low,
            ci_high=score.high,
        )
        for each in found
        for score in each.scores
    ]
    made = {(row.plan, row.metric) for row in rows}
    kept = [
        row
        for row in tables.accuracy
        if (row.model, row.dataset) != (model, dataset) or (row.plan, row.metric) not in made
    ]
    write(profile, replace(tables, accuracy=(*kept, *rows)))
