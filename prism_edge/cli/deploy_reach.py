"""How the verbs of ``prism-edge deploy`` reach their boards, and how they say what came of it."""

from __future__ import annotations

import getpass
import json
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

if TYPE_CHECKING:
    from prism_edge.deploy.everywhere import Found, Open
    from prism_edge.settings import BoardSettings, Settings


class Reach(NamedTuple):
    """``boards``: those that are meant; ``opened``: logs in to one."""

    settings: Settings
    boards: tuple[BoardSettings, ...]
    opened: Open


def reach(cluster: Path, limit: str, *, accept_new: bool, ask_sudo: bool) -> Reach:
    """The boards of ``--cluster`` and ``--limit``."""
    from prism_edge.cli.deploy_options import chosen, sudo_password
    from prism_edge.deploy.hosts import connect
    from prism_edge.settings import read_settings

    settings = read_settings(cluster)
    password = sudo_password(ask_sudo)
    return Reach(
        settings,
        chosen(settings, limit),
        lambda board: connect(board, accept_new=accept_new, password=password),
    )


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
