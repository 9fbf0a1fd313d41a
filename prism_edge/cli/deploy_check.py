"""``prism-edge deploy check``: ``prism-edge check`` of the boards of a cluster."""

from __future__ import annotations

from typing import Annotated

import typer

from prism_edge.cli.check import check as check_all
from prism_edge.cli.deploy_options import AcceptNew, AsJson, AskSudo, Cluster, Limit


def check(
    cluster: Cluster,
    limit: Limit = "",
    accept_new: AcceptNew = False,
    ask_sudo: AskSudo = False,
    fix: Annotated[bool, typer.Option("--fix", help="Repair what is safe to repair.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="With --fix: show what it would do.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Find what is wrong with the boards, each with its remedy, before anything is brought there.

    Example: prism-edge deploy check --cluster cluster.toml
    """
    check_all(
        cluster=cluster,
        limit=limit,
        accept_new=accept_new,
        ask_sudo=ask_sudo,
        fix=fix,
        dry_run=dry_run,
        as_json=as_json,
    )
