"""What a lab is like now, from its state and from what really runs; never changes anything."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from prism_edge.cluster import network, processes
from prism_edge.cluster.build import namespace
from prism_edge.cluster.state import LabState, Mode
from prism_edge.cluster.tunnel import MESH


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardStatus:
    """One board now; ``processes`` counts what runs on it, its keeper not included."""

    name: str
    address: str
    core: int
    rate_bps: float
    up: bool
    processes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LabStatus:
    """A lab now; ``problem`` is None when it can be used."""

    name: str
    mode: Mode
    problem: str | None
    cluster_toml: str
    laptop_address: str
    power: str
    mesh: str  # its subnet; empty: none
    boards: tuple[BoardStatus, ...]


def problem(state: LabState) -> str | None:
    """Why the lab cannot be used; None when it can."""
    if state.boot_id != processes.boot_id():
        return "the machine has restarted since"
    if state.phase == "building":
        return "its building was interrupted"
    if state.mode != "paced":
        for name, keeper in state.keepers().items():
            if keeper is None or namespace(keeper) is None:
                return f"the process that held {name} is gone"
    return None


def status(state: LabState, settings: Path) -> LabStatus:
    """The lab now, also when it is broken."""
    counts = _count(state)
    return LabStatus(
        name=state.name,
        mode=state.mode,
        problem=problem(state),
        cluster_toml=str(settings),
        laptop_address=network.laptop_address(state),
        power="modelled from CPU time, not measured",
        mesh=MESH.subnet if state.wireguard else "",
        boards=tuple(
            BoardStatus(
                name=board.name,
                address=board.address,
                core=board.core,
                rate_bps=board.link.rate_bps,
                up=board.link.up,
                processes=counts[board.name],
            )
            for board in state.boards
        ),
    )


def _count(state: LabState) -> dict[str, int]:
    keepers = {board.keeper.pid for board in state.boards if board.keeper}
    spaces = {board.name: namespace(board.keeper) for board in state.boards if board.keeper}
    counts = {board.name: 0 for board in state.boards}
    for pid in set(processes.pids()) - keepers:
        space, mark = processes.network(pid), processes.marker(pid)
        for name in counts:
            inside = space is not None and space == spaces.get(name)
            counts[name] += inside or mark == network.marker_of(state, name)
    return counts
