"""A cluster as it serves now: its boards, the group they form, and what it decided last."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from prism_edge.deploy import paths
from prism_edge.deploy.ask import Answer, ask
from prism_edge.deploy.everywhere import Found, Open, everywhere
from prism_edge.deploy.must import last_words
from prism_edge.deploy.runner import Runner
from prism_edge.errors import ClusterError, PrismError
from prism_edge.settings import BoardSettings, Settings

_COMMAND = f"""
for link in current previous; do
    if [ -L {paths.ROOT}/$link ]; then echo "$link=$(basename "$(readlink {paths.ROOT}/$link)")"; fi
done
if [ -e {paths.PENDING} ]; then read -r new _ <{paths.PENDING}; echo "pending=$new"; fi
read -r up _ </proc/uptime
echo "up=$up"
systemctl show {paths.UNIT} --property=LoadState,ActiveState,NRestarts,StatusText,\
ActiveEnterTimestampMonotonic
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardState:
    """``current``, ``previous``, ``pending``: releases; ``service``: systemd's word for it, None:
    no such unit; ``since_s``: how long it has been active; ``says``: the daemon's own words."""

    current: str | None = None
    previous: str | None = None
    pending: str | None = None
    service: str | None = None
    since_s: float | None = None
    restarts: int | None = None
    says: str | None = None

    @property
    def serving(self) -> bool:
        return self.service == "active"


def board_state(runner: Runner) -> BoardState:
    """What the board serves now, and since when; read without root."""
    done = runner.run(_COMMAND)
    if done.code:
        raise ClusterError(
            f"board {runner.name}: its state cannot be read: {last_words(done.err)}; does it run "
            f"systemd?"
        )
    return parse(done.out)


def parse(text: str) -> BoardState:
    """The state that the command's lines ``key=value`` tell."""
    said = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    there = said.get("LoadState") not in (None, "not-found")
    active = there and said.get("ActiveState") == "active"
    since_us = float(said.get("ActiveEnterTimestampMonotonic") or 0)
    return BoardState(
        current=said.get("current"),
        previous=said.get("previous"),
        pending=said.get("pending"),
        service=said.get("ActiveState") if there else None,
        since_s=max(0.0, float(said["up"]) - since_us / 1e6) if active else None,
        restarts=int(said["NRestarts"]) if there and said.get("NRestarts") else None,
        says=said.get("StatusText") or None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A board. ``in_group``: None where the leader was not asked or does not answer; ``why``: of
    what is not as it should be."""

    board: str
    state: BoardState | None
    in_group: bool | None = None
    why: str | None = None

    @property
    def serving(self) -> bool:
        return self.state is not None and self.state.serving


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """``plans``: of the last requests, how many went by which; ``last``: the newest of them, with
    its reason; ``degraded``: why the leader answers alone, if it does. ``mixed``: not all of the
    boards have the same release."""

    cluster: str
    rows: tuple[Row, ...]
    plans: Mapping[str, int] = field(default_factory=dict)
    last: Mapping[str, Any] | None = None
    degraded: str | None = None
    mixed: bool = False


def status(settings: Settings, boards: Sequence[BoardSettings], opened: Open) -> Status:
    """What ``boards`` and, if it is among them, the leader say."""
    asked: list[Answer] = []

    def look(board: BoardSettings, runner: Runner) -> BoardState:
        state = board_state(runner)
        if board.name == settings.leader and state.serving:
            try:
                asked.append(ask(runner))
            except PrismError as error:
                asked.append(Answer(error=str(error)))
        return state

    found = everywhere(boards, opened, look)
    return told(settings.name, settings.leader, found, asked[0] if asked else Answer())


def told(cluster: str, leader: str, found: Sequence[Found[BoardState]], answer: Answer) -> Status:
    """The status that these answers make."""
    said = answer.status or {}
    group = {str(board["name"]): board for board in said.get("boards", ())}
    rows = []
    for one in found:
        member = group.get(one.board, {})
        why = one.error or _wrong(one.value) or member.get("why_out")
        if one.board == leader:
            why = why or answer.error
        rows.append(Row(board=one.board, state=one.value, in_group=member.get("in_group"), why=why))
    last = said.get("last") or []
    return Status(
        cluster=cluster,
        rows=tuple(rows),
        plans=dict(Counter(str(request["plan"]) for request in last)),
        last=last[0] if last else None,
        degraded=said.get("degraded"),
        mixed=len({one.value.current for one in found if one.value and one.value.current}) > 1,
    )


def _wrong(state: BoardState | None) -> str | None:
    if state is None:
        return None
    if state.current is None:
        return "nothing is deployed; `prism-edge deploy push --cluster FILE`"
    if state.pending is not None:
        return f"release {state.pending} has not proved healthy yet"
    if not state.serving:
        service = state.service or "not there"
        return f"the service is {service}; `prism-edge deploy logs --cluster FILE` says why"
    return None
