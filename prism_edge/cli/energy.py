"""``prism-edge energy``: what boards draw, read and told honestly; each verb is a module."""

from __future__ import annotations

import typer

app = typer.Typer(
    name="energy", help="Power and energy of boards, live and recorded.", no_args_is_help=True
)


@app.callback()
def about() -> None:
    """Power and energy of boards, live and recorded."""
