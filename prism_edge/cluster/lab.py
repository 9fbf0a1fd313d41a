"""A lab: emulated boards on this machine, with links as slow as one likes.

Its directory holds state.json, cluster.toml, profiles/, bin/tegrastats; pace.json in mode paced; a
key per board with a mesh.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from prism_edge.cluster import build, network, status
from prism_edge.cluster.local import LocalHost
from prism_edge.cluster.lock import machine_lock
from prism_edge.cluster.modes import Wish, choose
from prism_edge.cluster.processes import MARKER
from prism_edge.cluster.shaping import Link
from prism_edge.cluster.state import LabState, check_name, from_json
from prism_edge.cluster.step import Step, run_step
from prism_edge.errors import LabError

_LOCK_S = 60.0


def default_root() -> Path:
    """Where labs are remembered: below $XDG_STATE_HOME, or ~/.local/state."""
    home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(home) / "prism-edge" / "labs"


class Lab:
    """A lab that is there. Change it through this class or ``prism-edge lab``, not ip and tc."""

    def __init__(self, state: LabState, directory: Path) -> None:
        self.state = state
        self.directory = directory

    @property
    def cluster_toml(self) -> Path:
        """The settings file that the other commands take."""
        return self.directory / "cluster.toml"

    @classmethod
    def plan(
        cls,
        name: str,
        boards: int,
        rate_bps: float,
        *,
        mode: Wish = "auto",
        wireguard: bool = False,
        root: Path | None = None,
    ) -> list[Step]:
        """The commands that ``up`` would run, with $NAMES for the process ids to come."""
        root = root or default_root()
        chosen, _ = choose(mode)
        with machine_lock(_LOCK_S):  # no other lab is half gone while this looks at all of them
            state = build.planned(name, boards, rate_bps, chosen, root, wireguard=wireguard)
        return build.plan_steps(state, root / state.name)

    @classmethod
    def up(
        cls,
        name: str,
        boards: int,
        rate_bps: float,
        *,
        mode: Wish = "auto",
        wireguard: bool = False,
        root: Path | None = None,
        run: Callable[[Step], str] = run_step,
    ) -> Lab:
        """The lab, built; when anything fails, what was built of it is removed.

        Raises ``LabError`` when a lab of that name exists, the kernel refuses, or a program is not
        there; ``SettingsError`` for a name, a number of boards or a rate that cannot be.
        """
        root = root or default_root()
        directory = root / check_name(name)
        chosen, _ = choose(mode)
        with machine_lock(_LOCK_S):
            if (directory / "state.json").exists():
                raise LabError(
                    f"lab {name!r} exists already; `prism-edge lab status --name {name}` shows it, "
                    f"`prism-edge lab down --name {name}` removes it, or choose another --name"
                )
            state = build.planned(name, boards, rate_bps, chosen, root, wireguard=wireguard)
            try:
                return cls(build.build(state, directory, run), directory)
            except BaseException:
                cls._clear(directory)
                raise

    @classmethod
    def load(cls, name: str, *, root: Path | None = None) -> Lab:
        """The lab of that name, in whatever condition; raises ``LabError`` when there is none."""
        root = root or default_root()
        path = root / check_name(name) / "state.json"
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            there = ", ".join(sorted(p.parent.name for p in root.glob("*/state.json"))) or "none"
            raise LabError(
                f"no lab {name!r} (there are: {there}); `prism-edge lab up --name {name}` makes it"
            ) from None
        return cls(from_json(text, path), path.parent)

    @classmethod
    def remove(cls, name: str, *, root: Path | None = None) -> bool:
        """Nothing of the lab of that name is left; False when there was nothing."""
        root = root or default_root()
        directory = root / check_name(name)
        with machine_lock(_LOCK_S):
            return cls._clear(directory)

    @classmethod
    def _clear(cls, directory: Path) -> bool:
        if not (directory / "state.json").exists():
            build.remove(directory)  # up died before it wrote its first state
            return False
        build.clear(cls.load(directory.name, root=directory.parent).state, directory)
        return True

    def down(self) -> None:
        """Nothing of this lab is left: no process, interface, namespace or file. Repeatable."""
        Lab.remove(self.state.name, root=self.directory.parent)

    def down_steps(self) -> list[Step]:
        """What ``down`` does, as commands."""
        return build.clear_steps(self.state, self.directory)

    def hosts(self) -> list[LocalHost]:
        """The boards in order, the leader first."""
        self._require_usable()
        pids = network.keeper_pids(self.state)
        return [
            LocalHost(
                name=board.name,
                address=board.address,
                core=board.core,
                enter=network.enter(self.state.mode, pids[board.name]),
                env={MARKER: network.marker_of(self.state, board.name)},
                bin_dir=self.directory / "bin",
            )
            for board in self.state.boards
        ]

    def laptop(self) -> LocalHost:
        """The user's machine as the boards see it: not shaped, not pinned."""
        self._require_usable()
        address = network.laptop_address(self.state)
        if self.state.mode != "rootless":
            return LocalHost(name=network.LAPTOP, address=address)
        switch = network.keeper_pids(self.state)[network.SWITCH]
        return LocalHost(
            name=network.LAPTOP,
            address=address,
            enter=network.enter(self.state.mode, switch),
            env={MARKER: network.marker_of(self.state, network.LAPTOP)},
        )

    def host(self, name: str) -> LocalHost:
        """The board of that name, or the laptop."""
        if name == network.LAPTOP:
            return self.laptop()
        board = self.state.board(name)
        return next(host for host in self.hosts() if host.name == board.name)

    def link_steps(
        self, board: str, *, rate_bps: float | None = None, up: bool | None = None
    ) -> list[Step]:
        """The commands that ``set_link`` would run; none in mode paced, which writes a file."""
        self._require_usable()
        old = self.state.board(board)
        link = _changed(old.link, rate_bps, up)
        if self.state.mode == "paced":
            return []
        pids = network.keeper_pids(self.state)
        rate = network.rate_steps(self.state, old, link, pids) if rate_bps is not None else []
        plug = [network.plug_step(self.state, old, link, pids)] if up is not None else []
        return [*rate, *plug]

    def set_link(
        self, board: str, *, rate_bps: float | None = None, up: bool | None = None
    ) -> None:
        """The board's link has that rate and is plugged in or not; None leaves it as it is."""
        with machine_lock(_LOCK_S):
            self.state = Lab.load(self.state.name, root=self.directory.parent).state
            for step in self.link_steps(board, rate_bps=rate_bps, up=up):
                run_step(step)
            link = _changed(self.state.board(board).link, rate_bps, up)
            self.state = self.state.with_link(board, link)
            build.save(self.state, self.directory)

    def status(self) -> status.LabStatus:
        """What the lab is like now, also when it is broken."""
        return status.status(self.state, self.cluster_toml)

    def _require_usable(self) -> None:
        problem = status.problem(self.state)
        if problem is not None:
            name = self.state.name
            raise LabError(
                f"lab {name!r} cannot be used: {problem}; "
                f"`prism-edge lab down --name {name}`, then `prism-edge lab up --name {name}`"
            )


def _changed(link: Link, rate_bps: float | None, up: bool | None) -> Link:
    return Link(
        rate_bps=link.rate_bps if rate_bps is None else rate_bps, up=link.up if up is None else up
    )
