"""``prism-edge profile``: what a cluster's boards and link cost, measured and kept as tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prism_edge.cli.profile_diff import diff

if TYPE_CHECKING:
    from prism_edge import tables

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
    quick: Annotated[bool, typer.Option("--quick", help="one round, in about a minute")] = False,
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
    from prism_edge.profile.measured import Measured
    from prism_edge.profile.progress import progress_on
    from prism_edge.profile.session import profile_cluster
    from prism_edge.profile.sweep import Wish
    from prism_edge.settings import parse_model, read_settings

    settings = read_settings(cluster).with_models(tuple(parse_model(text) for text in model or ()))
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
    progress = progress_on()
    done = 0.0

    def tell(measured: Measured, total: float) -> None:
        nonlocal done
        done += measured.weight_s
        progress.advance(measured.text, done, total)

    try:
        measured = profile_cluster(
            settings,
            wish,
            directory,
            max_seconds=max_seconds,
            tell=tell,
        )
    finally:
        progress.close()
    summary = summarise(measured, directory)
    print(json.dumps(summary) if as_json else readable(summary))


def numbers(option: str, text: str) -> tuple[int, ...]:
    """The whole numbers of ``1,2,4``. Raises ``SettingsError``."""
    from prism_edge.errors import SettingsError

    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise SettingsError(f"{option} {text!r}: expected whole numbers, e.g. 1,2,4") from None


def summarise(measured: tables.Profile, directory: Path) -> dict[str, object]:
    """What was written where, as JSON values."""
    counted = ("compute", "staging", "link", "request")
    return {
        "directory": str(directory),
        "cluster": measured.cluster,
        "kind": measured.kind,
        "link": measured.link_description,
        "seconds": float(measured.conditions["seconds"]),
        "load_average": [
            measured.conditions["load_average_start"],
            measured.conditions["load_average_end"],
        ],
        "rows": {table: len(getattr(measured, table)) for table in counted},
        "warnings": list(measured.warnings),
    }


def readable(summary: dict[str, object]) -> str:
    """The summary for people."""
    rows, warnings = summary["rows"], summary["warnings"]
    assert isinstance(rows, dict)
    assert isinstance(warnings, list)
    counts = ", ".join(f"{count} {table}" for table, count in rows.items())
    lines = [
        f"profile of {summary['cluster']} ({summary['kind']}), link {summary['link']}",
        f"{counts} rows in {summary['seconds']} s: {summary['directory']}",
        *(f"warning: {text}" for text in warnings),
    ]
    return "\n".join(lines)
