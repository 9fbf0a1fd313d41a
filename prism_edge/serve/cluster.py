"""The leader's view of the other boards: hellos in, orders to its own engine and seats out."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

from prism_edge.energy.clocks import Offset
from prism_edge.energy.sample import Sample
from prism_edge.engine.client import EngineGoneError
from prism_edge.engine.messages import Message
from prism_edge.errors import InputError
from prism_edge.serve import lifecycle
from prism_edge.serve.lifecycle import Action, Close, Hello, State
from prism_edge.serve.metrics import Metrics
from prism_edge.serve.models import Served
from prism_edge.serve.record import Record
from prism_edge.serve.supervisor import Supervisor
from prism_edge.settings import Settings

LOG = logging.getLogger(__name__)
AWAY_S = 0.5  # far longer than between two ticks, far shorter than a silence


class Cluster:
    """Drives ``lifecycle`` with real events and carries out what it says."""

    def __init__(self, settings: Settings, record: Record, metrics: Metrics) -> None:
        self._settings = settings
        self._record = record
        self._metrics = metrics
        self._state = State(order=tuple(board.name for board in settings.ranked))
        self._store_port: int | None = None
        self._closed = (float("-inf"), "")  # when an epoch was last given up by us, and why
        self._clocks: dict[str, Offset] = {}  # of workers, as last written down
        self._heard: dict[str, float] = {}  # when each worker last said hello, seated or not
        self._ticked_s = time.monotonic()
        self.engine: Supervisor | None = None

    def in_service(self) -> int:
        """Boards that can take part in a plan now."""
        return lifecycle.in_service(self._state)

    def ranks(self) -> tuple[str, ...]:
        """The boards that can take part in a plan now, by rank; the leader alone if no group is."""
        epoch = self._state.epoch
        if epoch is not None and epoch.phase == "open":
            return epoch.ranks
        return (self._settings.leader,)

    def status(self) -> dict[str, object]:
        """Boards and epoch, as values JSON can carry."""
        now_s, epoch = time.monotonic(), self._state.epoch
        boards: list[dict[str, object]] = []
        for rank, settings in enumerate(self._settings.ranked):
            member = self._state.members.get(settings.name)
            heard_s = self._heard.get(settings.name)
            ready = (
                self._state.leader is not None if rank == 0 else bool(member and member.hello.ready)
            )
            boards.append(
                {
                    "name": settings.name,
                    "address": settings.address,
                    "ready": ready,
                    "in_group": bool(
                        epoch and epoch.phase == "open" and settings.name in epoch.ranks
                    ),
                    "silent_s": None if heard_s is None else round(now_s - heard_s, 2),
                    "why_out": lifecycle.complaint(self._state, settings.name, now_s)
                    if rank
                    else None,
                }
            )
        return {"boards": boards, "epoch": epoch.number if epoch else None}

    def why_lost(self, said: str, ranks: Sequence[str], since_s: float) -> str:
        """Why a batch under way ``since_s`` lost its group: what the agent saw, else GLOO's words.

        An agent that gives a silent board up shuts the engine's sockets, and GLOO knows only that.
        """
        at_s, reason = self._closed
        return reason if at_s >= since_s else self.name_boards(said, ranks)

    def name_boards(self, text: str, ranks: Sequence[str]) -> str:
        """An engine's words with the boards' names for ranks and beside their addresses."""
        for rank, name in enumerate(ranks):
            text = re.sub(rf"\brank {rank}\b", name, text)
        for board in self._settings.boards:
            address = self._settings.data_address(board.name)
            text = text.replace(f"[{address}]", f"{board.name} [{address}]")
        return text

    def hello(self, said: Mapping[str, Any]) -> dict[str, Any]:
        """The seat of a worker that said hello. Raises ``InputError`` for anybody else."""
        try:
            board = str(said["board"])
            if board not in self._state.order[1:]:
                known = ", ".join(self._state.order[1:]) or "none"
                raise InputError(f"board {board!r} is not a worker of this cluster ({known})")
            hello = Hello(
                board=board,
                instance=str(said["instance"]),
                ready=bool(said["ready"]),
                models={str(name): str(value) for name, value in said["models"].items()},
                protocol=int(said["protocol"]),
                seat=None if said["seat"] is None else int(said["seat"]),
                left=None if said["left"] is None else int(said["left"]),
                leaving=bool(said.get("leaving", False)),
            )
            samples = [_sample(board, *reading) for reading in said["power"]]
            clock = said.get("clock")
            offset = clock and Offset(offset_s=float(clock[0]), bound_s=float(clock[1]))
        except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise InputError(f"not a hello: {error!r}; does the board run this version?") from error
        if offset and (board not in self._clocks or offset.differs(self._clocks[board])):
            self._clocks[board] = offset
            self._record.clock(board, offset)
        for sample in samples:
            self._record.sample(sample)
        self._heard[board] = time.monotonic()
        self._state = lifecycle.hello(self._state, hello, self._heard[board])
        self.tick()
        seat = lifecycle.seat_of(self._state, board)
        if seat is None or self._store_port is None:
            return {"seat": None, "now_s": time.time()}
        epoch, rank, size = seat
        store_host = self._settings.data_address(self._settings.leader)
        where = {"store_host": store_host, "store_port": self._store_port}
        seated = {"epoch": epoch, "rank": rank, "size": size, **where}
        return {"seat": seated, "now_s": time.time()}

    def engine_event(self, message: Message, models: Mapping[str, Served]) -> None:
        """The leader's own engine reports."""
        fields, now_s = message.fields, time.monotonic()
        if message.kind == "ready":
            assert self.engine is not None
            self._store_port = fields["store_port"]
            said = Hello(
                board=self._settings.leader,
                instance=self.engine.instance,
                ready=True,
                models={name: served.fingerprint for name, served in models.items()},
            )
            grouped = fields["gloo"] and self._store_port is not None
            self._state = lifecycle.leader_engine(self._state, said if grouped else None)
            about = f"ready, torch {fields['torch']}, {fields['device']}, {fields['dtype']}"
            if fields["staging"]["why"] is not None:
                about += f"; staging {fields['staging']['rule']} because {fields['staging']['why']}"
            self._record.event("engine", about)
        elif message.kind == "gone":
            self._state = lifecycle.leader_engine(self._state, None)
            self._record.event("engine", f"ended with code {fields['code']}")
        elif message.kind == "joined":
            self._state = lifecycle.joined(self._state, fields["epoch"])
            self._log_epoch("open")
        elif message.kind == "left":
            epoch = self._state.epoch
            lost = epoch and epoch.number == fields["epoch"] and epoch.phase != "closing"
            self._state = lifecycle.left(self._state, fields["epoch"], now_s)
            if lost and epoch is not None:
                reason = self.name_boards(fields["reason"], epoch.ranks)
                LOG.warning("lost epoch=%s reason=%s", epoch.number, reason)
                self._record.event("lost", reason)
        self.tick()

    def tick(self) -> None:
        """Let time pass: close what must be closed, open what can be opened."""
        now_s = time.monotonic()
        away_s, self._ticked_s = now_s - self._ticked_s, now_s
        if away_s > AWAY_S:
            self._state = lifecycle.looked_away(self._state, away_s, now_s)
        self._state, actions = lifecycle.step(self._state, now_s)
        for action in actions:
            try:
                self._carry_out(action)
            except EngineGoneError:
                LOG.warning("engine gone while changing epoch")
        self._metrics.cluster(
            boards=self.in_service(), epoch=self._state.epoch.number if self._state.epoch else 0
        )

    def _carry_out(self, action: Action) -> None:
        client = self.engine.client if self.engine else None
        if isinstance(action, Close):
            LOG.warning("closing epoch=%s reason=%s", action.number, action.reason)
            self._record.event("lost" if action.now else "epoch", f"closing: {action.reason}")
            if action.now:
                self._closed = (time.monotonic(), action.reason)
            if client is not None:
                client.send("leave", epoch=action.number, now=action.now)
        elif client is not None:
            epoch = action.epoch
            client.send(
                "join",
                epoch=epoch.number,
                rank=0,
                size=len(epoch.ranks),
                store_host=self._settings.data_address(self._settings.leader),
                store_port=self._store_port,
            )
            self._log_epoch("forming")

    def _log_epoch(self, what: str) -> None:
        epoch = self._state.epoch
        if epoch is not None:
            text = f"{epoch.number} {what}: {', '.join(epoch.ranks)}"
            LOG.info("epoch %s", text)
            self._record.event("epoch", text)


def _sample(
    board: str,
    t_s: object,
    power_w: object,
    source: object,
    beside: Mapping[str, Any] | None = None,
) -> Sample:
    """A worker's reading as it travels. Raises what a wrong one makes Python raise."""
    more = beside or {}
    return Sample(
        board=board,
        t_s=float(t_s),  # type: ignore[arg-type]
        power_w=float(power_w),  # type: ignore[arg-type]
        source=source,  # type: ignore[arg-type]
        gap=None if more.get("gap") is None else str(more["gap"]),
        events={str(name): int(count) for name, count in more.get("events", {}).items()},
    )
