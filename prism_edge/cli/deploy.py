"""``prism-edge deploy``: from this machine to boards, and back; a module per verb."""

from __future__ import annotations

import typer

from prism_edge.cli import (
    deploy_bundle,
    deploy_check,
    deploy_collect,
    deploy_inventory,
    deploy_logs,
    deploy_push,
    deploy_restart,
    deploy_rollback,
    deploy_status,
    deploy_uninstall,
)

app = typer.Typer(
    name="deploy",
    help="Bring prism-edge, models and tables to boards, switch them, and look after them.",
    no_args_is_help=True,
)
app.command("check")(deploy_check.check)
app.command("push")(deploy_push.push)
app.command("status")(deploy_status.status)
app.command("logs")(deploy_logs.logs)
app.command("restart")(deploy_restart.restart)
app.command("rollback")(deploy_rollback.rollback)
app.command("collect")(deploy_collect.collect)
app.command("uninstall")(deploy_uninstall.uninstall)
app.command("bundle")(deploy_bundle.bundle)
app.command("inventory")(deploy_inventory.inventory)
