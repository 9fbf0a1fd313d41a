"""``prism-edge lab``: emulated boards on this machine."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from prism_edge.errors import LabError, SettingsError

if TYPE_CHECKING:
    from prism_edge.cluster.modes import Wish
    from prism_edge.cluster.status import LabStatus
    from prism_edge.cluster.step import Step

app = typer.Typer(
    name="lab",
    help="Emulated boards on this machine: one core and one shaped link each, power modelled.",
    no_args_is_help=True,
)

Name = Annotated[str, typer.Option("--name", help="Which lab; several can be up at once.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the commands, change nothing.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def up(
    boards: Annotated[int, typer.Option(help="How many boards.")] = 2,
    rate: Annotated[str, typer.Option(help="Rate of every link: 800kbit, 1.5gbit ...")] = "100mbit",
    name: Name = "lab",
    mode: Annotated[str, typer.Option(help="auto | root | rootless | paced")] = "auto",
    wireguard: Annotated[
        bool, typer.Option("--wireguard", help="Engines reach each other through WireGuard.")
    ] = False,
    as_json: AsJson = False,
    dry_run: DryRun = False,
) -> None:
    """Make a lab.  Example: prism-edge lab up --boards 3 --rate 20mbit"""
    from prism_edge.cluster.lab import Lab
    from prism_edge.cluster.modes import choose
    from prism_edge.cluster.shaping import parse_rate

    rate_bps = parse_rate(rate)
    chosen, why = choose(_wish(mode))
    if why:
        print(f"mode {chosen}, because the better ones do not work here: {why}", file=sys.stderr)
    if chosen == "paced":
        print(
            "no network namespaces: boards are processes on this machine's loopback, and links are "
            "paced by the transport, not by the kernel",
            file=sys.stderr,
        )
    if dry_run:
        _show(Lab.plan(name, boards, rate_bps, mode=chosen, wireguard=wireguard))
        return
    lab = Lab.up(name, boards, rate_bps, mode=chosen, wireguard=wireguard)
    _print_status(lab.status(), as_json)


@app.command()
def down(name: Name = "lab", dry_run: DryRun = False) -> None:
    """Remove a lab and all that runs in it.  Example: prism-edge lab down --name lab"""
    from prism_edge.cluster.lab import Lab

    if dry_run:
        _show(Lab.load(name).down_steps())
    elif Lab.remove(name):
        print(f"lab {name} is down")
    else:
        print(f"no lab {name}; nothing to do")


@app.command()
def status(name: Name = "lab", as_json: AsJson = False) -> None:
    """Show a lab.  Example: prism-edge lab status --json"""
    from prism_edge.cluster.lab import Lab

    _print_status(Lab.load(name).status(), as_json)


@app.command()
def link(
    board: Annotated[str, typer.Argument(help="A board, such as edge-2.")],
    rate: Annotated[str | None, typer.Option(help="New rate, such as 20mbit.")] = None,
    plugged: Annotated[
        bool | None, typer.Option("--up/--down", help="Plug the cable in, or pull it.")
    ] = None,
    name: Name = "lab",
    dry_run: DryRun = False,
) -> None:
    """Change a board's link while things run.  Example: prism-edge lab link edge-2 --rate 20mbit"""
    from prism_edge.cluster.lab import Lab
    from prism_edge.cluster.shaping import format_rate, parse_rate

    if rate is None and plugged is None:
        raise SettingsError("lab link: nothing to change; give --rate, --up or --down")
    rate_bps = None if rate is None else parse_rate(rate)
    lab = Lab.load(name)
    if dry_run:
        _show(lab.link_steps(board, rate_bps=rate_bps, up=plugged))
        return
    lab.set_link(board, rate_bps=rate_bps, up=plugged)
    now = lab.state.board(board).link
    print(f"{board}: {format_rate(now.rate_bps)}, {'up' if now.up else 'down'}")


@app.command()
def load(
    board: Annotated[str, typer.Argument(help="A board, such as edge-2.")],
    share: Annotated[
        float | None, typer.Option(help="What other work takes of its core: 0.5 at most.")
    ] = None,
    off: Annotated[bool, typer.Option("--off", help="End that work.")] = False,
    name: Name = "lab",
) -> None:
    """Slow a board down by other work on its core.  Example: prism-edge lab load edge-2 --share 0.5

    The work goes on until --off, or until the lab is down.
    """
    from prism_edge.cluster import burden
    from prism_edge.cluster.lab import Lab

    if (share is None) != off:
        raise SettingsError("lab load: give either --share or --off")
    share = None if share is None else burden.check_share(share)
    there = Lab.load(name).host(board)
    burden.free(there)
    if share is not None:
        burden.load(there, share)
    print(f"{board}: {'all' if share is None else f'{1 - share:.0%}'} of its core is left")


@app.command()
def exec(
    host: Annotated[str, typer.Argument(help="A board, or laptop.")],
    command: Annotated[list[str], typer.Argument(help="After --: the command and its arguments.")],
    name: Name = "lab",
) -> None:
    """Run a command on a board; its exit code is the answer.

    Example: prism-edge lab exec edge-2 -- ping -c 3 10.77.0.1
    """
    from prism_edge.cluster.lab import Lab

    there = Lab.load(name).host(host)
    argv = there.command(command)
    try:
        os.execvpe(argv[0], argv, there.environment())
    except FileNotFoundError as error:
        raise LabError(f"{host}: no program {argv[0]!r}") from error


def _wish(mode: str) -> Wish:
    from prism_edge.cluster.modes import Wish

    for wish in get_args(Wish):
        if mode == wish:
            return wish  # type: ignore[no-any-return]
    raise SettingsError(f"--mode {mode!r}: allowed are {', '.join(get_args(Wish))}")


def _show(steps: list[Step]) -> None:
    for step in steps:
        print(step)
    if not steps:
        print("# no commands: a paced lab is files only")


def _print_status(status: LabStatus, as_json: bool) -> None:
    from prism_edge.cluster.shaping import format_rate

    if as_json:
        print(json.dumps(dataclasses.asdict(status), indent=2))
        return
    print(f"lab {status.name}: {len(status.boards)} boards, mode {status.mode}")
    if status.problem:
        print(f"cannot be used: {status.problem}; prism-edge lab down --name {status.name}")
    for b in status.boards:
        link = f"{format_rate(b.rate_bps):>9} {'up' if b.up else 'DOWN':4}"
        print(f"  {b.name:8} {b.address:13} core {b.core:<3} {link} {b.processes} processes")
    print(f"  laptop   {status.laptop_address}")
    if status.mesh:
        print(f"mesh     {status.mesh}, WireGuard")
    print(f"power    {status.power}")
    print(f"settings {status.cluster_toml}")
