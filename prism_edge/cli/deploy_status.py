"""``prism-edge deploy status``: what the boards serve, and what their cluster decides."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

import typer

from prism_edge.cli.deploy_reach import AcceptNew, AsJson, AskSudo, Cluster, Limit, reach
from prism_edge.cli.deploy_table import print_rows

if TYPE_CHECKING:
    from prism_edge.deploy.status import Row, Status

_HEAD = ("board", "release", "service", "since", "in group", "before")


def status(
    cluster: Cluster,
    limit: Limit = "",
    accept_new: AcceptNew = False,
    ask_sudo: AskSudo = False,
    as_json: AsJson = False,
) -> None:
    """Show release, service and group of every board. Exit code 1 if one does not serve.

    Example: prism-edge deploy status --cluster cluster.toml
    """
    from prism_edge.deploy import status as work

    reached = reach(cluster, limit, accept_new=accept_new, ask_sudo=ask_sudo)
    found = work.status(reached.settings, reached.boards, reached.opened)
    if as_json:
        rows = [{**dataclasses.asdict(row), "serving": row.serving} for row in found.rows]
        print(json.dumps({**dataclasses.asdict(found), "rows": rows}, indent=2))
    else:
        _show(found)
    raise typer.Exit(0 if all(row.serving for row in found.rows) else 1)


def _show(found: Status) -> None:
    print_rows([_HEAD, *(_cells(row) for row in found.rows)])
    for row in found.rows:
        if row.why is not None:
            about = "" if row.why.startswith("board ") else f"board {row.board}: "
            print(f"{about}{row.why}")
    if found.mixed:
        print("the boards serve different releases; push again, to all of them")
    plans = ", ".join(f"{count} by {plan}" for plan, count in found.plans.items())
    if plans:
        print(f"last requests: {plans}")
    if found.last is not None:
        print(f"last reason: {found.last['why']}")
    if found.degraded is not None:
        print(f"degraded: {found.degraded}")


def _cells(row: Row) -> tuple[str, ...]:
    state = row.state
    if state is None:
        return (row.board, "-", "not known", "-", "-", "-")
    group = {None: "-", True: "yes", False: "no"}[row.in_group]
    return (
        row.board,
        state.current or "-",
        state.service or "-",
        "-" if state.since_s is None else _ago(state.since_s),
        group,
        state.previous or "-",
    )


def _ago(seconds: float) -> str:
    """A time that has passed, in its two largest units."""
    minutes, hours = int(seconds) // 60, int(seconds) // 3600
    if minutes < 1:
        return f"{int(seconds)} s"
    if hours < 1:
        return f"{minutes} min {int(seconds) % 60} s"
    if hours < 24:
        return f"{hours} h {minutes % 60} min"
    return f"{hours // 24} d {hours % 24} h"
