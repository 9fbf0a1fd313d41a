"""The texts in a lab's directory besides its state: settings, pace, tegrastats on PATH. Pure."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from prism_edge.cluster.state import LabState
from prism_edge.cluster.tunnel import MESH


def cluster_toml(state: LabState, pace_file: Path) -> str:
    """The settings file of this lab: what prism-edge serve, profile and the rest read."""
    kind = "paced" if state.mode == "paced" else "lab"
    lines = [
        f"# Written by prism-edge lab up: {len(state.boards)} emulated boards.",
        "# Their power is modelled from CPU time, not measured.",
        *("[cluster]", f'name = "{state.name}"', f'leader = "{state.boards[0].name}"'),
        *(f'kind = "{kind}"', 'profiles = "profiles"', ""),
    ]
    for board in state.boards:
        lines += ["[[boards]]", f'name = "{board.name}"', f'address = "{board.address}"']
        lines += ['power = "modelled"', 'device = "cpu"', ""]
    lines += ["[link]", f"rate_bps = {min(b.link.rate_bps for b in state.boards):.1f}"]
    if state.wireguard:
        lines += ["", "[mesh]", f'subnet = "{MESH.subnet}"']
    if state.mode == "paced":
        lines.append(f"pace_file = {json.dumps(str(pace_file))}")
    return "\n".join(lines) + "\n"


def pace(state: LabState) -> str:
    """What a paced transport obeys: the slowest link of the lab, and whether all of them are up."""
    slowest_bps = min(board.link.rate_bps for board in state.boards)
    up = all(board.link.up for board in state.boards)
    return json.dumps({"rate_bps": slowest_bps, "up": up}) + "\n"


def tegrastats_script(state: LabState, python: str, package: Path) -> str:
    """Runs that Python and that package: a board has no console scripts of ours."""
    by = "marker" if state.mode == "paced" else "network"
    command = f"{shlex.quote(python)} -m prism_edge.cluster.tegrastats --board-by {by}"
    path = f"PYTHONPATH={shlex.quote(str(package))}${{PYTHONPATH:+:$PYTHONPATH}}"
    return f'#!/bin/sh\n{path} exec {command} "$@"\n'
