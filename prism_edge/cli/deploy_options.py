"""What several verbs of ``prism-edge deploy`` are told, and how their boards are reached."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prism_edge.errors import SettingsError

if TYPE_CHECKING:
    from prism_edge.settings import BoardSettings, Settings

PASSWORD = "PRISM_EDGE_SUDO_PASSWORD"

Cluster = Annotated[Path, typer.Option(help="The cluster's settings file.")]
Limit = Annotated[str, typer.Option(help="Of these boards only: edge-1,edge-2.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
AcceptNew = Annotated[
    bool, typer.Option("--accept-new", help="Trust boards whose host key is not known yet.")
]
AskSudo = Annotated[
    bool, typer.Option("--ask-sudo", help="Ask for the password that sudo wants on the boards.")
]


def sudo_password(ask: bool) -> Callable[[], str] | None:
    """What gives the password, asked for here and now; None: there is none to give.

    It may also stand in the environment as PRISM_EDGE_SUDO_PASSWORD, from which it is taken away.
    """
    given = os.environ.pop(PASSWORD, None)
    if given is None and ask:
        given = getpass.getpass("password for sudo on the boards: ")
    if given is None:
        return None
    password = given
    return lambda: password


def chosen(settings: Settings, limit: str) -> tuple[BoardSettings, ...]:
    """The boards of ``--limit``, all without it. Raises ``SettingsError`` for an unknown one."""
    names = tuple(name.strip() for name in limit.split(",") if name.strip())
    if limit and not names:
        raise SettingsError(f"--limit {limit!r}: expected names of boards, e.g. edge-1,edge-2")
    return tuple(settings.board(name) for name in names) or settings.boards
