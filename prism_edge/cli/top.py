"""``prism-edge top``: a daemon's live page in a terminal."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

PATIENCE_S = 5.0  # the daemon speaks once a second
RETRY_S = 2.0


def top(
    url: Annotated[str, typer.Option(help="daemon, such as http://10.77.0.1:8000")],
    token_file: Annotated[Path | None, typer.Option(help="file with the bearer token")] = None,
    authority: Annotated[
        Path | None, typer.Option(help="PEM file of who signed the daemon's certificate (https)")
    ] = None,
    once: Annotated[bool, typer.Option(help="print how things are, and end")] = False,
) -> None:
    """Boards, plans, latency and the last decisions, every second until Ctrl-C.

    prism-edge top --url https://10.0.0.11:8000 --token-file token --authority authority.crt
    """
    from rich.console import Console
    from rich.live import Live

    from prism_edge.cli.inputs import read_token
    from prism_edge.cli.top_view import Snapshot, view
    from prism_edge.errors import UnavailableError, UnreachableError
    from prism_edge.serve.event_client import events

    token = None if token_file is None else read_token(token_file)
    console, last = Console(), Snapshot()

    if once:
        said = next(events(url, "/events", token=token, authority=authority))
        console.print(view(json.loads(said), None, rows=None))
        return

    def stream() -> Iterator[str]:
        return events(url, "/events", token=token, timeout_s=PATIENCE_S, authority=authority)

    heard = stream()
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            lost = None
            try:
                last = json.loads(next(heard))
            except (StopIteration, ValueError):  # its last word is no snapshot
                lost = "the daemon has ended"
            except (UnavailableError, UnreachableError) as error:
                lost = str(error)
            live.update(view(last, lost, rows=console.height), refresh=True)
            if lost is not None:
                time.sleep(RETRY_S)
                heard = stream()
