"""``prism-edge deploy push``: boards are given a release, and taken back when it does not work."""

from __future__ import annotations

import functools
import getpass
import json
import shlex
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prism_edge.cli.deploy_reach import (
    AcceptNew,
    AsJson,
    AskSudo,
    Cluster,
    Limit,
    chosen,
    sudo_password,
)
from prism_edge.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from prism_edge.deploy.part import Outcome
    from prism_edge.deploy.runner import Runner
    from prism_edge.deploy.site import Site
    from prism_edge.settings import BoardSettings


def push(
    cluster: Cluster,
    bundle: Annotated[
        list[Path] | None,
        typer.Option(help="Directory of a bundle; repeatable; default: one is made here."),
    ] = None,
    limit: Limit = "",
    canary: Annotated[
        str | None, typer.Option(help="The board to switch first; default: the last worker.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the steps, change nothing; exit 2 if any.")
    ] = False,
    diff: Annotated[
        bool, typer.Option("--diff", help="As --dry-run, and show how files would change.")
    ] = False,
    accept_new: AcceptNew = False,
    ask_sudo: AskSudo = False,
    as_json: AsJson = False,
) -> None:
    """Make boards serve this cluster: packages, models, tables, settings, service.

    Exit code: 0 all is as wished; 1 something failed; 2 with --dry-run or --diff: something would
    change; 130 interrupted.

    Example: prism-edge deploy push --cluster cluster.toml --bundle bundle --dry-run
    """
    from prism_edge.cli import deploy_table
    from prism_edge.cli.deploy_live import shown
    from prism_edge.deploy.bundle import read_bundle
    from prism_edge.deploy.hosts import connect
    from prism_edge.deploy.part import exit_code
    from prism_edge.deploy.push import Order
    from prism_edge.deploy.push import push as conduct
    from prism_edge.deploy.site import RunnerSite
    from prism_edge.deploy.transcript import transcript
    from prism_edge.deploy.wishes import Wishes, state_directory
    from prism_edge.settings import read_settings

    settings = read_settings(cluster)
    boards = chosen(settings, limit)
    if as_json and diff:
        raise SettingsError("--diff is for people; --dry-run --json tells the steps")
    state, began = state_directory(settings.name, cluster), datetime.now()
    password = sudo_password(ask_sudo)
    reach = functools.partial(connect, accept_new=accept_new, password=password)

    @contextmanager
    def opened(board: BoardSettings) -> Iterator[Site]:
        written = transcript(state / "transcripts", board.name, began)
        with reach(board, transcript=written) as runner:
            yield RunnerSite(runner, board.python)

    with shown([board.name for board in boards]) as tell:
        bundles = [read_bundle(path) for path in bundle or []]
        wishes = Wishes(settings, bundles, state, lambda text: tell("", text))
        order = Order(
            settings=settings,
            boards=tuple(board.name for board in boards),
            canary=canary,
            files=wishes.files,
            who=f"{getpass.getuser()}@{socket.gethostname()}",
            dry_run=dry_run or diff,
        )
        outcomes = conduct(order, opened, wishes, tell)
    code = exit_code(outcomes)
    if as_json:
        print(json.dumps(deploy_table.as_dict(settings.name, outcomes, code), indent=2))
    else:
        deploy_table.show(outcomes, state / "transcripts")
        if diff:
            show_differences(outcomes, settings.board, reach)
    raise typer.Exit(code)


def show_differences(
    outcomes: Sequence[Outcome],
    board_of: Callable[[str], BoardSettings],
    reach: Callable[[BoardSettings], AbstractContextManager[Runner]],
) -> None:
    """Print how files on boards would change."""
    from prism_edge.deploy.diff import differences, written

    for outcome in outcomes:
        wanted = written(outcome.steps, outcome.old)
        if not wanted:
            continue
        with reach(board_of(outcome.board)) as runner:
            there = {path: content(runner, now) for path, now in wanted.items()}
        print(f"\nboard {outcome.board}")
        for line in differences(outcome.steps, there):
            print(line)
    sys.stdout.flush()


def content(runner: Runner, path: str) -> str | None:
    """What a file on the board holds; None: there is none."""
    done = runner.run(f"cat {shlex.quote(path)}", root=True)
    return done.out if done.code == 0 else None
