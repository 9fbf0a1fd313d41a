"""``prism-edge deploy logs``: what the services have said."""

from __future__ import annotations

import sys
import threading
from typing import Annotated

import typer

from prism_edge.cli.deploy_reach import AcceptNew, AskSudo, Cluster, reach


def logs(
    cluster: Cluster,
    board: Annotated[list[str] | None, typer.Argument(help="These boards; default: all.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    since: Annotated[
        str | None, typer.Option(help="All since then, such as '10 min ago' or 'today'.")
    ] = None,
    lines: Annotated[int, typer.Option(help="Without --since: how many, of each board.")] = 50,
    accept_new: AcceptNew = False,
    ask_sudo: AskSudo = False,
) -> None:
    """Print the log of the services in the order of time, each line with its board.

    Example: prism-edge deploy logs --cluster cluster.toml -f edge-2
    """
    from prism_edge.deploy import logs as work

    reached = reach(cluster, ",".join(board or ()), accept_new=accept_new, ask_sudo=ask_sudo)
    width = max(len(one.name) for one in reached.boards)
    found = work.pages(reached.boards, reached.opened, since, lines)
    for line in work.in_order(found):
        print(f"{line.board:{width}} {line.at} {line.text}")
    for one in found:
        if one.error is not None:
            print(f"{one.board}: error: {one.error}", file=sys.stderr)
    if follow:
        cursors = {one.board: one.value.cursor for one in found if one.value is not None}
        work.follow(
            reached.boards,
            reached.opened,
            cursors,
            lambda name, text: print(f"{name:{width}} {text}", flush=True),
            threading.Event(),
        )
    raise typer.Exit(1 if any(one.error is not None for one in found) else 0)
