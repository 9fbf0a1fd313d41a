"""``prism-edge deploy bundle``: all that a board without an index installs, in one directory."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prism_edge.cli.deploy_live import shown
from prism_edge.cli.deploy_reach import AcceptNew, AsJson, Limit, reach
from prism_edge.errors import SettingsError

if TYPE_CHECKING:
    from prism_edge.deploy.bundle import Bundle
    from prism_edge.deploy.target import Target


def bundle(
    out: Annotated[Path, typer.Option(help="directory to make; one that is there is used again")],
    python: Annotated[str | None, typer.Option(help="the boards' Python, such as 3.10")] = None,
    machine: Annotated[str | None, typer.Option(help="aarch64 or x86_64")] = None,
    have: Annotated[
        list[str] | None,
        typer.Option(help="NAME==VERSION that boards have and keep: torch, numpy; repeatable"),
    ] = None,
    torch: Annotated[
        str | None, typer.Option(help="torch==VERSION to bring along to boards that have none")
    ] = None,
    cluster: Annotated[
        Path | None, typer.Option(help="ask the boards of this settings file what they have")
    ] = None,
    limit: Limit = "",
    accept_new: AcceptNew = False,
    find_links: Annotated[
        list[Path] | None, typer.Option(help="a folder with more wheels; repeatable")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Collect prism-edge and all wheels it needs, with hashes; boards install without an index.

    Example: prism-edge deploy bundle --python 3.10 --machine aarch64
    --have torch==2.5.0a0+872d972e41.nv24.8 --have numpy==1.26.4 --out bundle
    """
    from prism_edge.deploy.make_bundle import make_bundle

    brought = torch_version(torch) if torch else None
    if cluster is None:
        if limit or accept_new:
            raise typer.BadParameter("--limit and --accept-new are for --cluster")
        target = given(python, machine, have or [], brought)
    elif python or machine or have:
        raise typer.BadParameter("--cluster asks the boards: no --python, --machine, --have")
    else:
        from prism_edge.deploy.bundle_for import ask

        reached = reach(cluster, limit, accept_new=accept_new)
        target = ask(reached.boards, reached.opened, brought)
    with shown([""]) as tell:
        made = make_bundle(target, out, find_links=find_links or [], tell=partial(tell, ""))
    print(json.dumps(summary(made)) if as_json else readable(made))


def given(
    python: str | None, machine: str | None, have: Sequence[str], torch: str | None
) -> Target:
    """The target that the options describe. Raises ``SettingsError``."""
    from prism_edge.deploy.target import Target, exact

    if not python or not machine:
        raise SettingsError(
            "for which boards? --python 3.10 --machine aarch64, or --cluster cluster.toml"
        )
    return Target(python=python, machine=machine, pins=dict(map(exact, have)), torch=torch)


def torch_version(text: str) -> str:
    """The version in ``torch==VERSION``."""
    from prism_edge.deploy.target import exact

    name, version = exact(text)
    if name != "torch":
        raise SettingsError(f"--torch {text}: expected torch==VERSION")
    return version


def size(made: Bundle) -> tuple[int, int]:
    """Bytes of its wheels, and what they take on a board."""
    wheels = made.wheels.values()
    return sum(one.bytes for one in wheels), sum(one.unpacked_bytes for one in wheels)


def summary(made: Bundle) -> dict[str, object]:
    """The bundle as JSON values."""
    packed, unpacked = size(made)
    return {
        "directory": str(made.directory),
        "python": made.python,
        "machine": made.machine,
        "pins": dict(made.pins),
        "prism_edge": made.version,
        "wheels": len(made.wheels),
        "bytes": packed,
        "unpacked_bytes": unpacked,
    }


def readable(made: Bundle) -> str:
    """The same for people."""
    packed, unpacked = size(made)
    whose = ", ".join(f"{name} {version}" for name, version in made.pins.items())
    return (
        f"{made.directory}: prism-edge {made.version} for Python {made.python} on {made.machine}\n"
        f"{len(made.wheels)} wheels, {packed / 1e6:.0f} MB; {unpacked / 1e6:.0f} MB on a board\n"
        f"{f'the boards keep their own {whose}' if whose else 'torch is inside'}"
    )
