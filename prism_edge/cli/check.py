"""``prism-edge check``: what is wrong with this machine or with boards, and what to do about it."""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prism_edge.cli.deploy_reach import AcceptNew, AsJson, AskSudo, Limit, reach

if TYPE_CHECKING:
    from prism_edge.deploy.checkup import Checked
    from prism_edge.deploy.findings.finding import Finding

EXIT = {"ok": 0, "note": 0, "warning": 3, "blocked": 1}  # by the worst finding


def check(
    cluster: Annotated[
        Path | None, typer.Option(help="The boards of this cluster.toml; default: this machine.")
    ] = None,
    limit: Limit = "",
    accept_new: AcceptNew = False,
    ask_sudo: AskSudo = False,
    fix: Annotated[
        bool, typer.Option("--fix", help="Repair what is safe to repair, then look again.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="With --fix: show what it would do, change nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Find what is wrong with this machine, or with boards over SSH, each with its remedy.

    Exit code: 0 nothing, or notes; 3 warnings; 1 something cannot work.

    Example: prism-edge check --cluster cluster.toml --fix --dry-run
    """
    if dry_run and not fix:
        raise typer.BadParameter("--dry-run is for --fix; without it nothing is changed")
    if cluster is None and (limit or accept_new or ask_sudo):
        raise typer.BadParameter("--limit, --accept-new and --ask-sudo are for --cluster")
    from prism_edge.cli import check_table
    from prism_edge.deploy import checkup
    from prism_edge.deploy.findings.finding import verdict

    repair = _tell if fix and not dry_run else None
    checked: tuple[Checked, ...]
    between: tuple[Finding, ...] = ()
    if cluster is None:
        from prism_edge.deploy.here import Here

        checked = (checkup.check(Here(name=socket.gethostname()), repair=repair),)
    else:
        reached = reach(cluster, limit, accept_new=accept_new, ask_sudo=ask_sudo)
        checked, between = checkup.check_all(*reached, repair=repair)
    found = [item for board in checked for item in board.findings] + list(between)
    if as_json:
        print(json.dumps(check_table.as_dict(checked, between), indent=2))
    else:
        check_table.show(checked, between, would_fix=dry_run)
    raise typer.Exit(EXIT[verdict(found)])


def _tell(board: str, finding: Finding) -> None:
    """What is about to be done; on stderr, beside any JSON."""
    from prism_edge.deploy.fix import steps

    assert finding.fix is not None
    lines = [f"{board}: {finding.fix.why}", *(f"  # {step}" for step in steps(finding.fix))]
    print("\n".join(lines), file=sys.stderr, flush=True)
