"""What a lab remembers between two commands: one JSON file, written whole or not at all."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from prism_edge.cluster.shaping import Link
from prism_edge.errors import LabError, SettingsError

Mode = Literal["root", "rootless", "paced"]
Phase = Literal["building", "up"]
_SCHEMA = 1
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,30}")
_MOST_BOARDS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeper:
    """A sleeper that holds a namespace; its start time tells it from a later owner of its pid."""

    pid: int
    start_ticks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardState:
    """One emulated board; ``keeper`` is None until it has a namespace (mode paced: always)."""

    name: str
    address: str
    core: int
    link: Link
    keeper: Keeper | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LabState:
    """One lab: boards, the switch between them, the token its processes and interfaces carry.

    ``wireguard``: what engines send each other goes through a mesh.
    """

    name: str
    mode: Mode
    token: str
    boot_id: str
    subnet: int
    boards: tuple[BoardState, ...]
    wireguard: bool = False
    switch: Keeper | None = None
    phase: Phase = "building"

    def __post_init__(self) -> None:
        check_name(self.name)
        if not 1 <= len(self.boards) <= _MOST_BOARDS:
            raise SettingsError(f"boards: {len(self.boards)}; allowed are 1 to {_MOST_BOARDS}")

    def board(self, name: str) -> BoardState:
        """The board of that name; raises ``LabError`` naming those there are."""
        for board in self.boards:
            if board.name == name:
                return board
        there = ", ".join(board.name for board in self.boards)
        raise LabError(f"lab {self.name}: no board {name!r}; there are {there}")

    def keepers(self) -> dict[str, Keeper | None]:
        """Who holds what: the switch, then the boards in order."""
        return {"switch": self.switch, **{board.name: board.keeper for board in self.boards}}

    def with_keeper(self, member: str, keeper: Keeper) -> LabState:
        """The same lab with one more namespace held."""
        if member == "switch":
            return dataclasses.replace(self, switch=keeper)
        return self._with(member, keeper=keeper)

    def with_link(self, name: str, link: Link) -> LabState:
        """The same lab with another link at one board."""
        return self._with(name, link=link)

    def _with(
        self, name: str, *, link: Link | None = None, keeper: Keeper | None = None
    ) -> LabState:
        old = self.board(name)
        new = dataclasses.replace(old, link=link or old.link, keeper=keeper or old.keeper)
        boards = tuple(new if board is old else board for board in self.boards)
        return dataclasses.replace(self, boards=boards)


def check_name(name: str) -> str:
    """The name itself, fit to be a directory's; raises ``SettingsError`` when it is not."""
    if _NAME.fullmatch(name) is None:
        raise SettingsError(
            f"lab name {name!r}: allowed are up to 31 of a-z, 0-9 and -, not starting with -"
        )
    return name


def prefix(mode: Mode) -> str:
    """The first half of every address; paced boards are processes behind the loopback."""
    return "127.77" if mode == "paced" else "10.77"


def plan_state(
    *,
    name: str,
    mode: Mode,
    token: str,
    boot_id: str,
    subnet: int,
    boards: int,
    rate_bps: float,
    cores: tuple[int, ...],
    wireguard: bool = False,
) -> LabState:
    """The lab to be built: board n is edge-n at .n, on core (n-1) mod the number of cores."""
    link = Link(rate_bps=rate_bps)
    return LabState(
        name=name,
        mode=mode,
        token=token,
        boot_id=boot_id,
        subnet=subnet,
        wireguard=wireguard,
        boards=tuple(
            BoardState(
                name=f"edge-{n}",
                address=f"{prefix(mode)}.{subnet}.{n}",
                core=cores[(n - 1) % len(cores)],
                link=link,
            )
            for n in range(1, boards + 1)
        ),
    )


def to_json(state: LabState) -> str:
    """The state as text that ``from_json`` reads back unchanged."""
    return json.dumps({"schema": _SCHEMA, **dataclasses.asdict(state)}, indent=2) + "\n"


def from_json(text: str, where: Path) -> LabState:
    """The state that was written; raises ``LabError`` naming the file when it is not ours."""
    try:
        raw: dict[str, Any] = json.loads(text)
        if raw.pop("schema") != _SCHEMA:
            raise ValueError("written by another version of prism-edge")
        boards = tuple(
            BoardState(
                **{**board, "link": Link(**board["link"]), "keeper": _keeper(board["keeper"])}
            )
            for board in raw.pop("boards")
        )
        return LabState(**{**raw, "boards": boards, "switch": _keeper(raw["switch"])})
    except (ValueError, KeyError, TypeError, AttributeError, SettingsError) as error:
        raise LabError(
            f"{where}: not the state of a lab ({error!r}); if no lab runs, delete {where.parent}"
        ) from error


def _keeper(raw: dict[str, int] | None) -> Keeper | None:
    return None if raw is None else Keeper(**raw)


def write_text(path: Path, text: str) -> None:
    """The file holds the whole text or what it held before, also after a crash."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        raise LabError(f"{path}: cannot be written: {error}; set XDG_STATE_HOME") from error
