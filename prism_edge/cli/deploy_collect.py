"""``prism-edge deploy collect``: what the boards have gathered, copied here."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated

import typer

from prism_edge.cli.deploy_options import AcceptNew, AsJson, AskSudo, Cluster, Limit


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
    from prism_edge.cli.deploy_reach import finish, reach
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
