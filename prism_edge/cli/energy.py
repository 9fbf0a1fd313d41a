"""``prism-edge energy``: what boards draw, read and told honestly; each verb is a module."""

from __future__ import annotations

import typer

from prism_edge.cli import energy_export, energy_log, energy_parse, energy_rails, energy_window

app = typer.Typer(
    name="energy", help="Power and energy of boards, live and recorded.", no_args_is_help=True
)


@app.callback()
def about() -> None:
    """Power and energy of boards, live and recorded."""


app.command("parse")(energy_parse.parse)
app.command("rails")(energy_rails.rails)
app.command("log")(energy_log.log)
app.command("window")(energy_window.window)
app.command("idle")(energy_window.idle)
app.command("export")(energy_export.export)
