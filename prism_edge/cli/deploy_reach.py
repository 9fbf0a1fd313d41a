"""How the verbs of ``prism-edge deploy`` reach their boards, and how they say what came of it."""

from __future__ import annotations

import getpass
import json
import os
import socket
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from prism_edge.errors import SettingsError

if TYPE_CHECKING:
    from prism_edge.deploy.everywhere import Found, Open
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


class Reach(NamedTuple):
    """``boards``: those that are meant; ``opened``: logs in to one."""

    settings: Settings
    boards: tuple[BoardSettings, ...]
    opened: Open


def reach(cluster: Path, limit: str, *, accept_new: bool, ask_sudo: bool = False) -> Reach:
    """The boards of ``--cluster`` and ``--limit``."""
    from prism_edge.deploy.hosts import connect
    from prism_edge.settings import read_settings

    settings = read_settings(cluster)
    boards, password = chosen(settings, limit), sudo_password(ask_sudo)
    return Reach(
        settings, boards, lambda board: connect(board, accept_new=accept_new, password=password)
    )


def sudo_password(ask: bool) -> Callable[[], str] | None:
    """What gives the password, asked for here and now; None: there is none to give.

    It may also stand in the environment as PRISM_EDGE_SUDO_PASSWORD, from which it is taken away.
    """
    given = os.environ.pop(PASSWORD, None)
    if given is None and ask:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", getpass.GetPassWarning)
                given = getpass.getpass("password for sudo on the boards: ")
        except (getpass.GetPassWarning, EOFError):
            raise SettingsError(
                f"--ask-sudo: there is no terminal to ask on; set {PASSWORD} instead"
            ) from None
    password = given
    return None if password is None else lambda: password


def chosen(settings: Settings, limit: str) -> tuple[BoardSettings, ...]:
    """The boards of ``--limit``, all without it. Raises ``SettingsError`` for an unknown one."""
    names = tuple(name.strip() for name in limit.split(",") if name.strip())
    if limit and not names:
        raise SettingsError(f"--limit {limit!r}: expected names of boards, e.g. edge-1,edge-2")
    return tuple(settings.board(name) for name in names) or settings.boards


def who(verb: str) -> str:
    """What others are told while a board is ours."""
    return f"{getpass.getuser()} on {socket.gethostname()} (prism-edge deploy {verb})"


def tell(board: str, text: str) -> None:
    """One line of progress, where it does not mix with what is printed."""
    print(f"{board}: {text}", file=sys.stderr, flush=True)


def finish(
    settings: Settings,
    found: Sequence[Found[Any]],
    *,
    as_json: bool,
    fields: Callable[[Any], Mapping[str, object]],
    line: Callable[[Any], str],
) -> None:
    """A line, or an entry of JSON, per board; exit code 1 if one has failed."""
    code = 1 if any(one.error is not None for one in found) else 0
    if as_json:
        boards = {
            one.board: {
                "ok": one.error is None,
                **(fields(one.value) if one.error is None else {"changed": 0}),
                "error": one.error,
            }
            for one in found
        }
        print(json.dumps({"cluster": settings.name, "code": code, "boards": boards}, indent=2))
    else:
        for one in found:
            if one.error is None:
                print(f"{one.board}: {line(one.value)}")
            else:
                print(f"{one.board}: error: {one.error}", file=sys.stderr)
    raise typer.Exit(code)
