"""Which boards form the group, epoch after epoch. Pure: state, event and time in; actions out.

A worker says hello a few times a second. The leader offers an epoch to every board whose engine is
ready with the same models; once all have taken their seats its own engine joins them. It closes the
epoch when one of them falls silent, restarts its engine or reports a broken group, and offers the
next. After a loss only a fresh hello counts. A board that returns is readmitted by saying hello;
one that is being stopped says so, and keeps its seat until the batch under way has ended.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from prism_edge.engine.manifest import PROTOCOL

SILENCE_S = 1.5  # three missed hellos at 0.5 s
FORMING_S = 8.0  # longer than an engine's own join timeout
RETRY_S = 0.5  # between a failed epoch and the next try
LEAVING = "it is being stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """What a board's agent says of its engine.

    ``instance`` changes when the engine is restarted; ``models`` maps names to fingerprints;
    ``protocol`` is that of messages between ranks; ``seat`` is the epoch its engine has been told
    to join, ``left`` the one it last fell out of; ``leaving``: it is being stopped.
    """

    board: str
    instance: str
    ready: bool
    models: Mapping[str, str]
    seat: int | None = None
    left: int | None = None
    leaving: bool = False
    protocol: int = PROTOCOL


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A board as last heard of; ``excused``: we have looked away since."""

    hello: Hello
    seen_s: float
    excused: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """One life of a process group; ``ranks`` and the engine ``instances`` it was opened with."""

    number: int
    ranks: tuple[str, ...]
    instances: tuple[str, ...]
    opened_s: float
    phase: Literal["offered", "forming", "open", "closing"] = "offered"


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Everything the leader knows. ``order``: boards by rank, the leader first."""

    order: tuple[str, ...]
    leader: Hello | None = None
    members: Mapping[str, Member] = field(default_factory=dict)
    epoch: Epoch | None = None
    last_number: int = 0
    retry_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Join:
    """All workers have taken their seats: tell the leader's engine to join them."""

    epoch: Epoch


@dataclass(frozen=True, slots=True)
class Close:
    """Tell the ranks to leave; ``now`` when the group is broken, else after the current batch."""

    number: int
    reason: str
    now: bool


Action = Join | Close


def hello(state: State, said: Hello, now_s: float) -> State:
    """The state after a worker said hello. The caller then steps.

    A leader that was restarted learns from its workers which numbers have been used.
    """
    members = {**state.members, said.board: Member(hello=said, seen_s=now_s)}
    used = max(state.last_number, said.seat or 0, said.left or 0)
    return replace(state, members=members, last_number=used)


def looked_away(state: State, away_s: float, now_s: float) -> State:
    """The state of a leader that was kept from working for ``away_s``: what boards said meanwhile
    still waits for it, so that time was no silence of theirs. But once only until a board is heard
    again: what had waited has had its turn when the leader looks away another time."""
    members = {
        board: member
        if member.excused
        else replace(
            member,
            seen_s=min(now_s, member.seen_s + away_s),
            excused=member.seen_s + away_s <= now_s,  # else it was heard at the end of that time
        )
        for board, member in state.members.items()
    }
    return replace(state, members=members)


def leader_engine(state: State, said: Hello | None) -> State:
    """The state after the leader's own engine became ready, or ended (None)."""
    return replace(state, leader=said)


def joined(state: State, number: int) -> State:
    """The state after the leader's engine formed epoch ``number``."""
    if state.epoch is None or state.epoch.number != number:
        return state
    return replace(state, epoch=replace(state.epoch, phase="open"))


def left(state: State, number: int | None, now_s: float) -> State:
    """The state after the leader's engine left epoch ``number``: broken, unless it was closing."""
    if state.epoch is None or state.epoch.number != number:
        return state
    if state.epoch.phase == "closing":
        return replace(state, epoch=None)
    return replace(state, epoch=None, members={}, retry_s=now_s + RETRY_S)


def step(state: State, now_s: float) -> tuple[State, list[Action]]:
    """The next state and what to do now, in order."""
    actions: list[Action] = []
    epoch = state.epoch
    if epoch is not None:
        reason, now = _reason_to_close(state, epoch, now_s)
        if reason:
            actions.append(Close(epoch.number, reason, now))
        if reason and now:
            state = replace(state, epoch=None, members={}, retry_s=now_s + RETRY_S)
        elif reason:  # its workers stay seated until the leader's engine has left
            state = replace(state, epoch=replace(epoch, phase="closing"))
    eligible = _eligible(state, now_s)
    if state.epoch is None and state.leader and eligible and now_s >= state.retry_s:
        number = state.last_number + 1
        instances = (state.leader.instance, *(state.members[b].hello.instance for b in eligible))
        epoch = Epoch(
            number=number,
            ranks=(state.order[0], *eligible),
            instances=instances,
            opened_s=now_s,
        )
        state = replace(state, epoch=epoch, last_number=number)
    if state.epoch is not None and state.epoch.phase == "offered":
        workers = state.epoch.ranks[1:]
        if all(state.members[board].hello.seat == state.epoch.number for board in workers):
            forming = replace(state.epoch, phase="forming")
            state = replace(state, epoch=forming)
            actions.append(Join(forming))
    return state, actions


def seat_of(state: State, board: str) -> tuple[int, int, int] | None:
    """(epoch, rank, size) that ``board`` should be in now, or None."""
    if state.epoch is None or board not in state.epoch.ranks:
        return None
    return state.epoch.number, state.epoch.ranks.index(board), len(state.epoch.ranks)


def in_service(state: State) -> int:
    """Boards of the open epoch; 1 when the leader is alone."""
    return len(state.epoch.ranks) if state.epoch and state.epoch.phase == "open" else 1


def _eligible(state: State, now_s: float) -> tuple[str, ...]:
    """Workers that can be in a group now, by rank."""
    return tuple(board for board in state.order[1:] if complaint(state, board, now_s) is None)


def complaint(state: State, board: str, now_s: float) -> str | None:
    """Why ``board`` cannot be in a group now."""
    member = state.members.get(board)
    if member is None or now_s - member.seen_s > SILENCE_S:
        return "silent" if member is None else f"silent for {now_s - member.seen_s:.1f} s"
    if member.hello.leaving:
        return LEAVING
    if not member.hello.ready:
        return "its engine is not ready"
    return None if state.leader is None else _disagreement(member.hello, state.leader)


def _disagreement(said: Hello, leader: Hello) -> str | None:
    """What a board must change to go with the leader."""
    if said.protocol != leader.protocol:
        return (
            f"it speaks wire protocol {said.protocol}, the leader {leader.protocol}; install the "
            f"same prism-edge on both"
        )
    if set(said.models) != set(leader.models):
        return (
            f"it serves {', '.join(sorted(said.models)) or 'no models'}, the leader serves "
            f"{', '.join(sorted(leader.models))}; list the same models on both"
        )
    odd = [name for name, digest in sorted(leader.models.items()) if said.models[name] != digest]
    if odd:
        return f"its {', '.join(odd)} is not the leader's; copy the same checkpoint to both"
    return None


def _reason_to_close(state: State, epoch: Epoch, now_s: float) -> tuple[str, bool]:
    """Why the epoch must end, and whether at once."""
    if state.leader is None or state.leader.instance != epoch.instances[0]:
        return "the leader's engine ended", True
    leaving: list[str] = []
    for board, instance in zip(epoch.ranks[1:], epoch.instances[1:], strict=True):
        why = complaint(state, board, now_s)
        if why == LEAVING and state.members[board].hello.seat == epoch.number:
            leaving.append(board)
            why = None
        if why is None and state.members[board].hello.instance != instance:
            why = "its engine was restarted"
        if why is None and epoch.phase != "closing":
            said = state.members[board].hello
            why = "it left the group" if said.left == epoch.number else None
        if why:
            return f"board {board}: {why}", True
    if epoch.phase in ("offered", "forming") and now_s - epoch.opened_s > FORMING_S:
        return f"epoch {epoch.number} did not form within {FORMING_S:g} s", True
    if leaving and epoch.phase != "closing":
        return f"board {leaving[0]}: {LEAVING}", epoch.phase != "open"
    if epoch.phase == "open" and len(_eligible(state, now_s)) > len(epoch.ranks) - 1:
        return "another board is ready to join", False
    return "", False
