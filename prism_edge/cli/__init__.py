"""The command line: one light module per verb; heavy packages load inside the verb."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from prism_edge import __version__
from prism_edge.cli import (
    bench,
    check,
    codebook,
    demo,
    deploy,
    energy,
    evaluate,
    finetune,
    generate,
    infer,
    lab,
    profile,
    report,
    serve,
    top,
)
from prism_edge.cli import plan as plan_cmd
from prism_edge.errors import PlanError, PrismError, SettingsError

app = typer.Typer(
    name="prism-edge",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo")(demo.demo)
app.add_typer(lab.app, name="lab")
app.command("serve")(serve.serve)
app.add_typer(profile.app)
app.command("top")(top.top)
app.command("infer")(infer.infer)
app.command("generate")(generate.generate)
app.command("codebook")(codebook.codebook)
app.command("evaluate")(evaluate.evaluate)
app.command("finetune")(finetune.finetune)
app.command("check")(check.check)
app.add_typer(deploy.app, name="deploy")
app.add_typer(energy.app, name="energy")
app.add_typer(bench.app, name="bench")
app.command("plan")(plan_cmd.plan)
app.command("report")(report.report)


def show_version(wanted: bool) -> None:
    """Print it before typer asks for a command."""
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def about(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=show_version, is_eager=True, help="print the version and exit"
        ),
    ] = False,
) -> None:
    """Measure a few boards, then answer every Transformer request by the fastest plan."""


def main() -> None:
    """Run one command; exit 0 ok, 1 failed, 2 misuse. A ``PrismError`` never shows a traceback."""
    try:
        app()
    except PrismError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, PlanError | SettingsError) else 1)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
