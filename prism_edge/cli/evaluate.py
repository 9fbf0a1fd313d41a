"""``prism-edge evaluate``: what every plan costs in accuracy, on a user's own model and data."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prism_edge.errors import PrismError, SettingsError
from prism_edge.plan import Plan

if TYPE_CHECKING:
    from collections.abc import Callable

    from prism_edge.accuracy.evaluate import Evaluated


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
    reference: Annotated[
        Path | None,
        typer.Option(
            help="Model whose answers are the exact ones, such as a trained one's original."
        ),
    ] = None,
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
    (a .jsonl with a text field is enough) there is still agreement, or cosine_to_exact. The drop is
    how much worse the first metric is than the exact model's; --reference says which model that is.

    Example: prism-edge evaluate --model vit --data images/ --plans "prism:p=2,l=10;astra:p=2,g=16"
    """
    wanted = [Plan.parse(text) for text in plans.split(";") if text.strip()]
    if not wanted:
        raise SettingsError("--plans names no plan; an example: 'prism:p=2,l=10;voltage:p=2'")
    if plot is not None and plot.suffix not in (".png", ".html"):
        raise SettingsError(f"--plot {plot}: name a .png or .html file")
    if plot is not None and not plot.parent.is_dir():
        raise SettingsError(f"--plot {plot}: {plot.parent} is no directory")
    for option, directory in (("model", model), ("reference", reference)):
        if directory is not None and not directory.is_dir():
            raise SettingsError(f"--{option} {directory}: no such directory")
    from prism_edge.accuracy.data import read_samples
    from prism_edge.accuracy.evaluate import evaluate as evaluated
    from prism_edge.accuracy.into_profile import profile_of, with_scores
    from prism_edge.accuracy.processes import by_processes
    from prism_edge.accuracy.reference import load_reference
    from prism_edge.families import load
    from prism_edge.profile.progress import progress_on
    from prism_edge.tables import write

    draw = None if plot is None else _drawing(plot)
    called = name or model.resolve().name
    if profile is not None:
        profile_of(profile, called, model)
    loaded = load(model)
    other = None if reference is None else load_reference(reference, loaded)
    samples = read_samples(data, loaded, batch=batch, limit=limit)
    progress = progress_on()
    try:
        if processes is None:
            found = evaluated(loaded, wanted, samples, progress.advance, reference=other)
        else:
            with by_processes(model.resolve(), processes, wanted) as answer:
                found = evaluated(loaded, wanted, samples, progress.advance, answer, other)
    finally:
        progress.close()
    print(json.dumps(_rows(found), indent=1) if as_json else "\n".join(_table(found)))
    if profile is not None:
        tables = profile_of(profile, called, model)  # as it is by now
        write(profile, with_scores(tables, called, samples.name, found, reference))
        for each in found:
            if not each.finite:
                print(f"{each.plan}: a score is no number, so none is kept", file=sys.stderr)
    if draw is not None:
        draw(f"{called} on {samples.name}", found)


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


def _drawing(plot: Path) -> Callable[[str, list[Evaluated]], None]:
    """What draws a title and scores into the file."""
    try:
        from prism_edge.accuracy.pareto import page, picture
    except ModuleNotFoundError as error:
        raise PrismError(
            f"--plot needs {error.name}, which is not installed: pip install 'prism-edge[report]'"
        ) from error

    def draw(title: str, found: list[Evaluated]) -> None:
        drawn = picture(title, found) if plot.suffix == ".png" else page(title, found).encode()
        try:
            plot.write_bytes(drawn)
        except OSError as error:
            raise PrismError(f"--plot {plot}: cannot be written ({error.strerror})") from error

    return draw
