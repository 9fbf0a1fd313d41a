"""``prism-edge deploy``: from this machine to boards, and back. The longer verbs have modules."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated

import typer

from prism_edge.cli import deploy_bundle, deploy_inventory, deploy_logs, deploy_push, deploy_status
from prism_edge.cli.check import check
from prism_edge.cli.deploy_reach import (
    AcceptNew,
    AsJson,
    AskSudo,
    Cluster,
    Limit,
    finish,
    reach,
    tell,
    who,
)
from prism_edge.errors import SettingsError

app = typer.Typer(
    name="deploy",
    help="Bring prism-edge, models and tables to boards, switch them, and look after them.",
    no_args_is_help=True,
)
app.command("check")(check)
app.command("push")(deploy_push.push)
app.command("status")(deploy_status.status)
app.command("logs")(deploy_logs.logs)


@app.command()
def restart(
    cluster: Cluster,
    limit: Limit = "",
    accept_new: AcceptNew = False,
    ask_sudo: AskSudo = False,
    as_json: AsJson = False,
) -> None:
    """Start the service of the boards anew, and wait until it has proved healthy.

    Example: prism-edge deploy restart --cluster cluster.toml --limit edge-2
    """
    from prism_edge.deploy import again

    reached = reach(cluster, limit, accept_new=accept_new, ask_sudo=ask_sudo)
    finish(
        reached.settings,
        again.restart(reached.boards, reached.opened, who("restart"), tell),
        as_json=as_json,
        fields=lambda move: {"changed": 1, "release": move.new},
        line=lambda move: f"release {move.new} serves again",
    )


@app.command()
def rollback(
    cluster: Cluster,
    limit: Limit = "",
    accept_new: AcceptNew = False,
    ask_sudo: AskSudo = False,
    as_json: AsJson = False,
) -> None:
    """Go back to the release that served before, on all boards or on none of them.

    A second rollback goes forward again.

    Example: prism-edge deploy rollback --cluster cluster.toml
    """
    from prism_edge.deploy import again

    reached = reach(cluster, limit, accept_new=accept_new, ask_sudo=ask_sudo)
    found = again.rollback(reached.boards, reached.opened, who("rollback"), tell)
    finish(
        reached.settings,
        again.gate(found, reached.settings, reached.opened),
        as_json=as_json,
        fields=lambda move: {"changed": 1, "old": move.old, "new": move.new},
        line=lambda move: f"{move.old} -> {move.new}, which serves",
    )


@app.command()
def collect(
    cluster: Cluster,
    limit: Limit = "",
    out: Annotated[Path, typer.Option(help="Directory to collect in.")] = Path("collected"),
    accept_new: AcceptNew = False,
    ask_sudo: AskSudo = False,
    as_json: AsJson = False,
) -> None:
    """Copy journals, tables and logs from the boards into OUT/CLUSTER/TIME/BOARD.

    Example: prism-edge deploy collect --cluster cluster.toml --out collected
    """
    from prism_edge.deploy import collect as work

    reached = reach(cluster, limit, accept_new=accept_new, ask_sudo=ask_sudo)
    now = datetime.now(timezone.utc)
    directory = out / reached.settings.name / f"{now:%Y%m%dT%H%M%SZ}"
    finish(
        reached.settings,
        work.collect(reached.boards, reached.opened, directory),
        as_json=as_json,
        fields=lambda done: {
            "changed": len(done.files),
            "directory": str(done.directory),
            "files": done.files,
        },
        line=lambda done: f"{len(done.files)} files in {done.directory}",
    )


@app.command()
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
    from prism_edge.deploy import uninstall as work

    reached = reach(cluster, limit, accept_new=accept_new, ask_sudo=ask_sudo)
    finish(
        reached.settings,
        work.uninstall(reached.boards, reached.opened, who("uninstall"), keep_data=keep_data),
        as_json=as_json,
        fields=lambda removed: {"changed": len(removed), "removed": removed},
        line=lambda removed: f"removed {', '.join(removed)}" if removed else "nothing was there",
    )


app.command("bundle")(deploy_bundle.bundle)
app.command("inventory")(deploy_inventory.inventory)
