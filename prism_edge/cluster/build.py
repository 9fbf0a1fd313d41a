"""Building a lab and removing it: the only file that changes the machine's namespaces.

State is saved before anything exists and after every keeper, and every process carries the lab's
token in its environment, so ``clear`` finds what a crash at any point has left.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import secrets
import shlex
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from prism_edge.cluster import files, network, processes, tunnel
from prism_edge.cluster.modes import require_wireguard
from prism_edge.cluster.state import (
    Keeper,
    LabState,
    Mode,
    from_json,
    plan_state,
    to_json,
    write_text,
)
from prism_edge.cluster.step import Step, run_step
from prism_edge.errors import LabError

_GRACE_S = 2.0


def planned(
    name: str, boards: int, rate_bps: float, mode: Mode, root: Path, *, wireguard: bool
) -> LabState:
    """The lab that fits beside the labs under ``root`` and this machine's routes."""
    if wireguard:
        require_wireguard(mode)
    taken = {from_json(path.read_text(), path).subnet for path in root.glob("*/state.json")}
    if mode == "root":
        routes = run_step(Step(argv=("ip", "-4", "route", "show"), why="find a free subnet"))
        taken |= network.taken_subnets(routes)
    return plan_state(
        name=name,
        mode=mode,
        token=secrets.token_hex(8),
        boot_id=processes.boot_id(),
        subnet=network.free_subnet(frozenset(taken)),
        boards=boards,
        rate_bps=rate_bps,
        cores=tuple(sorted(os.sched_getaffinity(0))),
        wireguard=wireguard,
    )


def plan_steps(state: LabState, directory: Path) -> list[Step]:
    """What ``build`` runs, with $NAMES for the process ids that do not exist yet."""
    if state.mode == "paced":
        return []
    pids = network.keeper_pids(state)
    keepers = [network.keeper_step(state, member, pids) for member in network.members(state)]
    steps = [*keepers, *network.network_steps(state, pids, ipv6=_ipv6())]
    if state.wireguard:
        keys = tunnel.key_names(state)
        steps += [tunnel.keys_step(board, directory) for board in state.boards]
        steps += [tunnel.tunnel_step(state, b, directory, pids, keys) for b in state.boards]
    return steps


def build(state: LabState, directory: Path, run: Callable[[Step], str]) -> LabState:
    """The lab exists: its files, then a keeper per namespace, then the network between them."""
    save(state, directory)
    (directory / "profiles").mkdir(exist_ok=True)
    settings = files.cluster_toml(state, directory / "pace.json")
    write_text(directory / "cluster.toml", settings)
    wrapper = directory / "bin" / "tegrastats"
    write_text(
        wrapper, files.tegrastats_script(state, sys.executable, Path(__file__).resolve().parents[2])
    )
    wrapper.chmod(0o755)
    for member in network.members(state):
        step = network.keeper_step(state, member, network.keeper_pids(state))
        state = state.with_keeper(member, _keeper(step, run(step)))
        save(state, directory)
    if state.mode != "paced":
        for step in network.network_steps(state, network.keeper_pids(state), ipv6=_ipv6()):
            run(step)
    if state.wireguard:
        keys = {b.name: run(tunnel.keys_step(b, directory)).strip() for b in state.boards}
        for board in state.boards:
            run(tunnel.tunnel_step(state, board, directory, network.keeper_pids(state), keys))
    state = dataclasses.replace(state, phase="up")
    save(state, directory)
    return state


def clear(state: LabState, directory: Path) -> None:
    """Nothing of the lab is left: no process, interface, namespace or file."""
    # Keepers last: while they live, their namespaces tell who runs there.
    keepers = {keeper.pid for keeper in state.keepers().values() if keeper}
    processes.stop(lambda: lab_processes(state) - keepers, _GRACE_S)
    processes.stop(lambda: lab_processes(state), _GRACE_S)
    if state.mode == "root":
        # The kernel removes it with the switch, in its own time: gone already is as good.
        with contextlib.suppress(LabError):
            run_step(_unplug_laptop(state))
    remove(directory)


def clear_steps(state: LabState, directory: Path) -> list[Step]:
    """What ``clear`` does, as commands."""
    found = sorted(lab_processes(state))
    kill = ("kill", *map(str, found))
    steps = [Step(argv=kill, why="everything that runs on its boards")] if found else []
    steps += [_unplug_laptop(state)] if state.mode == "root" else []
    return [*steps, Step(argv=("rm", "-r", str(directory)), why="its state and profiles")]


def lab_processes(state: LabState) -> set[int]:
    """Every process of the lab but the caller: by marker, and by namespace if it lost that."""
    spaces = {namespace(keeper) for keeper in state.keepers().values() if keeper}
    spaces -= {None, processes.network("self")}
    prefix = network.marker_of(state, "")
    return {
        pid
        for pid in processes.pids()
        if pid != os.getpid()
        and ((processes.marker(pid) or "").startswith(prefix) or processes.network(pid) in spaces)
        and processes.stat(pid) is not None
    }


def namespace(keeper: Keeper) -> str | None:
    """The keeper's network namespace; None when the keeper is gone, whoever has its pid now."""
    stat = processes.stat(keeper.pid)
    alive = stat is not None and stat.start_ticks == keeper.start_ticks
    return processes.network(keeper.pid) if alive else None


def save(state: LabState, directory: Path) -> None:
    """The directory holds the state, and in mode paced the pace that follows from it."""
    write_text(directory / "state.json", to_json(state))
    if state.mode == "paced":
        write_text(directory / "pace.json", files.pace(state))


def remove(directory: Path) -> None:
    """The directory is gone; raises ``LabError`` when someone else's files are in it."""
    try:
        shutil.rmtree(directory)
    except FileNotFoundError:
        return
    except OSError as error:
        raise LabError(f"{directory}: cannot be removed: {error}; remove it by hand") from error


def _keeper(step: Step, said: str) -> Keeper:
    pid = int(said) if said.strip().isdecimal() else 0
    stat = processes.stat(pid)
    if stat is None:
        raise LabError(f"{step.why}: no keeper; the command was: {shlex.join(step.argv)}")
    return Keeper(pid=pid, start_ticks=stat.start_ticks)


def _unplug_laptop(state: LabState) -> Step:
    argv = ("ip", "link", "delete", "dev", network.laptop_interface(state))
    return Step(argv=argv, why="the laptop's cable")


def _ipv6() -> bool:
    return Path("/proc/net/if_inet6").exists()
