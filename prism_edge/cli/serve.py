"""``prism-edge serve``: this board's daemon, as leader, worker or alone."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Annotated

import typer


def serve(
    cluster: Annotated[
        Path | None, typer.Option(help="cluster.toml; without it this board serves alone")
    ] = None,
    board: Annotated[
        str | None, typer.Option(help="which board this is (default: the host name)")
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option(help="NAME=DIR of a Hugging Face model; repeatable")
    ] = None,
    host: Annotated[str | None, typer.Option(help="address to listen on")] = None,
    port: Annotated[int | None, typer.Option(help="port to listen on; 0 takes a free one")] = None,
    journal: Annotated[
        Path | None, typer.Option(help="journal file of the leader (default: under the state dir)")
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="log state changes")] = False,
) -> None:
    """Answer requests over the Open Inference Protocol, each by the fastest plan.

    Alone: prism-edge serve --model vit=models/vit --port 8000
    On every board of a cluster: prism-edge serve --cluster cluster.toml --board edge-1
    """
    import asyncio
    import dataclasses
    import logging

    from prism_edge.errors import SettingsError
    from prism_edge.serve.daemon import serve as run
    from prism_edge.settings import ServeSettings, read_settings, single_board

    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    logging.getLogger("httpx").setLevel(logging.WARNING)
    settings = read_settings(cluster) if cluster else single_board((), ServeSettings())
    settings = settings.with_models(model or [])
    if not settings.models:
        raise SettingsError("no model to serve; give --model NAME=DIR or list [[models]]")
    changes = {key: value for key, value in (("host", host), ("port", port)) if value is not None}
    limits = dataclasses.replace(settings.serve, **changes)  # type: ignore[arg-type]
    settings = dataclasses.replace(settings, serve=limits)
    if board is None:
        board = settings.leader if cluster is None else socket.gethostname()
    asyncio.run(run(settings, board, journal or _default_journal(settings.name)))


def _default_journal(cluster: str) -> Path:
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "prism-edge" / cluster / "journal.sqlite"
