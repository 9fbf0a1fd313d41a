"""The policy as the daemon uses it: tables read once, events in, one choice per batch.

Without tables that apply there is nothing to decide by: the answer is local, and says so.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from prism_edge.errors import TableError
from prism_edge.plan import LOCAL, Plan
from prism_edge.schedule.accuracy import too_inaccurate
from prism_edge.schedule.adapt import Adaptive
from prism_edge.schedule.aims import aim_of
from prism_edge.schedule.cost import Costs, costs_of
from prism_edge.schedule.events import Aim, Answered, Asked, Event, Probed, Started
from prism_edge.schedule.explain import link_text
from prism_edge.schedule.link import LinkState
from prism_edge.schedule.policy import Decision
from prism_edge.serve.choice import Choice, new_id
from prism_edge.serve.metrics import Fallback
from prism_edge.serve.models import Served
from prism_edge.settings import Settings
from prism_edge.tables import applies, read
from prism_edge.tables.digest import digest

LOG = logging.getLogger(__name__)
Note = Callable[[Event, Decision | None, str | None], None]  # and the request's id, if it is one's


class Decider:
    """Chooses with the cluster's tables and what live traffic says about them.

    ``note(event, decision, id)`` hears every event in order, so that a journal can replay the day;
    of a decision only when the next one comes, since saying why takes longer than deciding.
    """

    def __init__(self, settings: Settings, note: Note = lambda event, decision, name: None) -> None:
        self._settings = settings
        self._note = note
        self._noted: tuple[Event, Decision | None, str | None] | None = None
        self._missing: dict[str, str] = {}
        self._adaptive = Adaptive({}, Aim())

    def models(self, models: Mapping[str, Served], now_s: float) -> None:
        """Read the tables for these models; what does not apply is remembered with its reason."""
        costs: dict[str, Costs] = {}
        self._missing = {}
        aim = aim_of(self._settings)
        ranked, tables = self._settings.ranked, "none"
        if len(ranked) == 1:
            self._missing = dict.fromkeys(models, "this board serves alone")
        else:
            try:
                profile = read(self._settings.profiles)
                tables = digest(self._settings.profiles)
            except TableError as error:
                LOG.warning("no cost tables: %s", error)
                self._missing = dict.fromkeys(models, str(error))
        boards = tuple(board.name for board in ranked)
        now = {board.name: {"device": board.device, "dtype": board.dtype} for board in ranked}
        for name, served in models.items():
            if name in self._missing:
                continue
            reason = applies(profile, name, served.fingerprint, boards, now)
            try:
                if reason is None:
                    costs[name] = costs_of(profile, name)
            except TableError as error:
                reason = str(error)
            if reason is not None:
                LOG.warning("cost tables do not apply: %s", reason)
                self._missing[name] = reason
        self._adaptive = Adaptive(costs, aim)
        self._step(Started(now_s=now_s, aim=aim, profile=tables, boards=boards))

    def choose(
        self,
        served: Served,
        rows: int,
        tokens: int,
        boards: Sequence[str],
        wanted: Plan | None = None,
        *,
        now_s: float,
        left_s: float | None = None,
    ) -> Choice:
        """The plan for a batch of ``rows`` on the boards in service, by rank: the policy's, or the
        one ``wanted`` by the user. ``left_s``: seconds until the batch's deadline."""
        name, in_service, request = served.info.name, tuple(boards), new_id()
        plan, reason, decision = wanted or LOCAL, "", None
        fallback: Fallback | None = None
        if wanted is not None:
            reason = f"asked for by the request{self._beyond(name, wanted)}"
            if wanted.p > len(boards):
                reason = (
                    f"{wanted} was asked for, but only {', '.join(boards)} in service; "
                    f"answered locally"
                )
                plan, fallback = LOCAL, "alone"
        elif name in self._missing:
            reason = f"local: {self._missing[name]}"
            fallback = None if len(self._settings.boards) == 1 else "no_tables"
        else:
            asked = Asked(
                now_s=now_s,
                model=name,
                batch=rows,
                tokens=tokens,
                boards=in_service,
                left_s=left_s,
            )
            decision = self._step(asked, request)
            assert decision is not None
            plan = decision.plan
            if decision.predicted is None:
                fallback = "no_tables"
            elif len(boards) == 1:
                reason, fallback = "local: no other board is in service", "alone"
        return Choice(
            id=request,
            plan=plan,
            reason=reason,
            model=name,
            batch=rows,
            tokens=tokens,
            boards=in_service,
            fallback=fallback,
            decision=decision,
        )

    def _beyond(self, model: str, wanted: Plan) -> str:
        """What the policy may not choose, but a request may: by which limit."""
        aim, costs = self._adaptive.aim.of(model), self._adaptive.costs.get(model)
        if aim.exact and not wanted.exact:
            return "; the policy may take exact plans only"
        drops = {} if costs is None else costs.drops
        reason = too_inaccurate(wanted, drops, aim.max_accuracy_drop)
        return f"; not for the policy to take: {reason}" if reason else ""

    def observe(self, choice: Choice, fields: Mapping[str, Any], now_s: float) -> None:
        """Learn from a batch that was answered under the plan chosen for it."""
        if fields["fallback"] is not None or fields["plan"] != str(choice.plan):
            return
        if choice.model in self._missing:
            return
        self._step(
            Answered(
                now_s=now_s,
                model=choice.model,
                plan=fields["plan"],
                batch=choice.batch,
                tokens=choice.tokens,
                boards=choice.boards,
                engine_s=fields["engine_s"],
                spans=tuple(
                    (name, start, took, size) for name, start, took, size in fields["spans"]
                ),
                efforts=tuple(
                    None if effort is None else (effort[0], effort[1])
                    for effort in fields.get("efforts", ())
                ),
            )
        )

    def probe_due(self, now_s: float, boards: int, *, idle: bool) -> int | None:
        """Bytes to exchange now to learn the link; None when nobody needs to know."""
        return None if boards < 2 else self._adaptive.probe_due(now_s, idle=idle)

    def probed(self, size: int, seconds: Sequence[float], now_s: float) -> None:
        """A probe of ``size`` bytes each way took ``seconds``."""
        self._step(Probed(now_s=now_s, bytes=size, seconds=tuple(seconds)))

    def link(self) -> LinkState | None:
        """The link as it is believed to be now."""
        return self._adaptive.link

    def complaint(self) -> str | None:
        """Why some models are answered locally whatever the link."""
        if not self._missing or len(self._settings.boards) == 1:
            return None
        return next(iter(self._missing.values()))

    def link_text(self) -> str:
        return link_text(self.link())

    def close(self) -> None:
        """Everything has been noted."""
        if self._noted is not None:
            self._note(*self._noted)
            self._noted = None

    def _step(self, event: Event, request: str | None = None) -> Decision | None:
        self.close()
        before = self._adaptive.link
        decision = self._adaptive.step(event)
        after = self._adaptive.link
        if before is not None and after is not None:
            change = after.bandwidth_bps / before.bandwidth_bps
            if not 0.7 < change < 1.4:
                LOG.info(
                    "link changed from_bps=%.3g to_bps=%.3g",
                    before.bandwidth_bps,
                    after.bandwidth_bps,
                )
        self._noted = event, decision, request
        if decision is None:
            self.close()
        return decision
