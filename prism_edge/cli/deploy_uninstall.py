"""``prism-edge deploy uninstall``: boards as if nothing had ever been deployed."""

from __future__ import annotations

from typing import Annotated

import typer

from prism_edge.cli.deploy_options import AcceptNew, AsJson, AskSudo, Cluster, Limit
from prism_edge.errors import SettingsError


def uninstall(
    cluster: Cluster,
    limit: Limit = "",
    yes: Annotated[bool, typer.Option("--yes", help="Yes, remove it.")] = False,
    keep_data: Annotated[
        bool, typer.Option("--keep-data", help="Leave journal, models and tables, and their user.")
    ] = False,
    accept_new: AcceptNew = False,
    ask_sudo: AskSudo = False,
    as_json: AsJson = False,
) -> None:
    """Stop the service and remove all of it: releases, units, secrets, data, user and mesh.

    Example: prism-edge deploy uninstall --cluster cluster.toml --yes
    """
    if not yes:
        raise SettingsError(
            "this removes journals and models from the boards too; `prism-edge deploy collect` "
            "saves journals; then give --yes, and --keep-data to keep the data"
        )
    from prism_edge.cli.deploy_reach import finish, reach, who
    from prism_edge.deploy import uninstall as work

    reached = reach(cluster, limit, accept_new=accept_new, ask_sudo=ask_sudo)
    finish(
        reached.settings,
        work.uninstall(reached.boards, reached.opened, who("uninstall"), keep_data=keep_data),
        as_json=as_json,
        fields=lambda removed: {"changed": len(removed), "removed": removed},
        line=lambda removed: f"removed {', '.join(removed)}" if removed else "nothing was there",
    )
