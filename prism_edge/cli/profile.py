"""``prism-edge profile``: what a cluster's boards and link cost, measured and kept as tables."""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from prism_edge.cli.profile_diff import diff

if TYPE_CHECKING:
    from prism_edge.profile.session import Outcome

app = typer.Typer(name="profile", invoke_without_command=True)
app.command("diff")(diff)


@app.callback()
def profile(
    context: typer.Context,
    cluster: Annotated[
        Path | None, typer.Option(help="cluster.toml of the cluster to measure; needed to measure")
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option(help="NAME=DIR of a Hugging Face model; repeatable")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="directory of the tables (default: as in cluster.toml)")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="fewer rounds, repeats and payloads; aims at 150 s")
    ] = False,
    batches: Annotated[str, typer.Option(help="batch sizes")] = "1,2,4,8",
    l: Annotated[  # noqa: E741
        str | None, typer.Option("--l", help="segments of prism plans (default 1,10,20; quick: 10)")
    ] = None,
    tokens: Annotated[
        str | None, typer.Option(help="token counts for models that take text")
    ] = None,
    max_seconds: Annotated[
        float | None, typer.Option(help="stop measuring after this long", min=1)
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="go on with the run that is kept in the directory")
    ] = False,
    refine: Annotated[
        bool,
        typer.Option(
            "--refine", help="spend what is left of --max-seconds where decisions hang on it"
        ),
    ] = False,
    seed: Annotated[int, typer.Option(help="of the order in which things are measured")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Measure compute, staging, link and whole requests; write the cost tables.

    Example: prism-edge profile --cluster cluster.toml --model vit=models/vit --quick
    """
    from prism_edge.errors import SettingsError

    if context.invoked_subcommand is not None:
        return
    if cluster is None:
        raise SettingsError("--cluster is needed: the cluster.toml of the cluster to measure")
    if refine and max_seconds is None:
        raise SettingsError("--refine spends the time left: give --max-seconds as well")
    from prism_edge.profile.progress import progress_on
    from prism_edge.profile.session import profile_cluster
    from prism_edge.profile.sweep import Wish
    from prism_edge.schedule.doubt import doubts
    from prism_edge.settings import read_settings
    from prism_edge.tables.log import LOG

    settings = read_settings(cluster).with_models(model or [])
    if not settings.models:
        raise SettingsError("no model to measure; give --model NAME=DIR or list [[models]]")
    wish = Wish(
        batches=numbers("--batches", batches),
        ls=numbers("--l", l or ("10" if quick else "1,10,20")),
        tokens=numbers("--tokens", tokens) if tokens else (),
        quick=quick,
        seed=seed,
    )
    directory = out or settings.profiles
    command = shlex.join(["prism-edge", *(word for word in sys.argv[1:] if word != "--resume")])
    progress = progress_on()
    try:
        outcome = profile_cluster(
            settings,
            wish,
            directory,
            progress=progress,
            max_seconds=max_seconds,
            resume=resume,
            doubts=doubts if refine else None,
            command=command,
        )
    except KeyboardInterrupt:
        if not (directory / LOG).exists():
            raise
        progress.close()
        stop(command, "interrupted")
    finally:
        progress.close()
    summary = summarise(outcome, directory)
    print(json.dumps(summary) if as_json else readable(summary))
    if outcome.stopped is not None:
        stop(command, outcome.stopped)


def stop(command: str, why: str) -> NoReturn:
    """Say how to go on, and exit."""
    print(f"error: not finished: {why}; to go on: {command} --resume", file=sys.stderr)
    raise typer.Exit(1)


def numbers(option: str, text: str) -> tuple[int, ...]:
    """The whole numbers of ``1,2,4``. Raises ``SettingsError``."""
    from prism_edge.errors import SettingsError

    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise SettingsError(f"{option} {text!r}: expected whole numbers, e.g. 1,2,4") from None


def summarise(outcome: Outcome, directory: Path) -> dict[str, object]:
    """What was written where, as JSON values."""
    from prism_edge.profile.interval import tightness

    measured = outcome.profile
    tight = tightness(measured)
    counted = ("compute", "staging", "link", "request")
    return {
        "directory": str(directory),
        "cluster": measured.cluster,
        "kind": measured.kind,
        "link": measured.link_description,
        "seconds": float(measured.conditions.get("seconds", "0")),
        "load_average": [
            measured.conditions.get("load_average_start"),
            measured.conditions.get("load_average_end"),
        ],
        "rows": {table: len(getattr(measured, table)) for table in counted},
        "tightness": None if tight is None else asdict(tight),
        "stopped": outcome.stopped,
        "warnings": list(measured.warnings),
    }


def readable(summary: dict[str, object]) -> str:
    """The summary for people."""
    rows, tight, warnings = summary["rows"], summary["tightness"], summary["warnings"]
    assert isinstance(rows, dict)
    assert isinstance(tight, dict | None)
    assert isinstance(warnings, list)
    counts = ", ".join(f"{count} {table}" for table, count in rows.items())
    lines = [
        f"profile of {summary['cluster']} ({summary['kind']}), link {summary['link']}",
        f"{counts} rows in {summary['seconds']} s: {summary['directory']}",
        *([readable_tightness(tight)] if tight is not None else []),
        *(f"warning: {text}" for text in warnings),
    ]
    return "\n".join(lines)


def readable_tightness(tight: dict[str, object]) -> str:
    """How tight the cells are, for people."""
    return (
        f"medians of {tight['cells']} cells, 95 % intervals: half of them within "
        f"+/- {tight['median']:.1%}, the widest +/- {tight['worst']:.1%} ({tight['worst_cell']})"
    )
