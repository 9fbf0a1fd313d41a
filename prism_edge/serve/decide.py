"""The policy as the daemon uses it: tables read once, the link as observed, one choice per batch.

Without tables that apply there is nothing to decide by: the answer is local, and says so.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prism_edge.errors import TableError
from prism_edge.plan import LOCAL, Plan
from prism_edge.schedule.cost import Costs, Prediction, costs_of, predict
from prism_edge.schedule.explain import link_text
from prism_edge.schedule.link import LinkState
from prism_edge.schedule.observe import ComputeCorrection, LinkObserver
from prism_edge.schedule.policy import choose
from prism_edge.serve.metrics import Fallback
from prism_edge.serve.models import Served
from prism_edge.settings import Settings
from prism_edge.tables import applies, read

LOG = logging.getLogger(__name__)
JOINED_LATE_S = 2e-4  # a shorter wait means that the message was there already


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The plan for one batch and why; ``fallback`` when tables or boards left no choice."""

    plan: Plan
    why: str
    model: str
    batch: int
    fallback: Fallback | None = None
    predicted: Prediction | None = None


class Decider:
    """Chooses with the cluster's tables and what live traffic says about them."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._costs: dict[str, Costs] = {}
        self._ranked: dict[tuple[str, tuple[str, ...]], Costs] = {}
        self._missing: dict[str, str] = {}
        self._link: LinkObserver | None = None
        self._corrections: dict[str, ComputeCorrection] = {}
        self._previous: dict[tuple[str, int, int], Plan] = {}

    def models(self, models: Mapping[str, Served]) -> None:
        """Read the tables for these models; what does not apply is remembered with its reason."""
        self._costs, self._ranked, self._missing = {}, {}, {}
        if len(self._settings.boards) == 1:
            self._missing = dict.fromkeys(models, "this board serves alone")
            return
        try:
            profile = read(self._settings.profiles)
        except TableError as error:
            LOG.warning("no cost tables: %s", error)
            self._missing = dict.fromkeys(models, str(error))
            return
        ranked = self._settings.ranked
        boards = [board.name for board in ranked]
        now = {board.name: {"device": board.device, "dtype": board.dtype} for board in ranked}
        for name, served in models.items():
            reason = applies(profile, name, served.fingerprint, boards, now)
            try:
                if reason is None:
                    self._costs[name] = costs_of(profile, name)
            except TableError as error:
                reason = str(error)
            if reason is not None:
                LOG.warning("cost tables do not apply: %s", reason)
                self._missing[name] = reason
        for costs in self._costs.values():
            if costs.link is not None and self._link is None:
                shared = costs.links is not None and costs.links.half_duplex
                self._link = LinkObserver(base=costs.link, ways=2 if shared else 1)

    def choose(
        self,
        served: Served,
        rows: int,
        tokens: int,
        boards: Sequence[str],
        wanted: Plan | None = None,
    ) -> Choice:
        """The plan for a batch of ``rows`` on the boards in service, by rank: the policy's, or the
        one ``wanted`` by the user."""
        if wanted is not None:
            return self._forced(served, wanted, rows, tokens, boards)
        name = served.info.name
        if name in self._missing:
            alone = len(self._settings.boards) == 1
            return Choice(
                plan=LOCAL,
                why=f"local: {self._missing[name]}",
                model=name,
                batch=rows,
                fallback=None if alone else "no_tables",
            )
        key = (name, rows, tokens)
        correction = self._corrections.get(name, ComputeCorrection())
        now_s = time.monotonic()
        decision = choose(
            self._for(name, boards),
            batch=rows,
            tokens=tokens,
            boards=len(boards),
            link=self.link(),
            previous=self._previous.get(key),
            exact_only=self._settings.policy.exact,
            objective=self._settings.policy.objective,
            hysteresis=self._settings.policy.hysteresis,
            correction=lambda plan, batch: correction.factor(plan, batch, now_s),
        )
        self._previous[key] = decision.plan
        why = decision.why
        fallback: Fallback | None = None
        if decision.predicted is None:
            fallback = "no_tables"
        elif len(boards) == 1:
            why, fallback = "local: no other board is in service", "alone"
        return Choice(
            plan=decision.plan,
            why=why,
            model=name,
            batch=rows,
            fallback=fallback,
            predicted=decision.predicted,
        )

    def _forced(
        self, served: Served, plan: Plan, rows: int, tokens: int, boards: Sequence[str]
    ) -> Choice:
        """The plan a user asked for, or local while too few boards are in service."""
        name = served.info.name
        if plan.p > len(boards):
            why = f"{plan} was asked for, but only {', '.join(boards)} in service; answered locally"
            return Choice(plan=LOCAL, why=why, model=name, batch=rows, fallback="alone")
        predicted = None
        if name in self._costs:
            found = predict(self._for(name, boards), plan, rows, tokens, self.link())
            predicted = found if isinstance(found, Prediction) else None
        why = "asked for by the request"
        return Choice(plan=plan, why=why, model=name, batch=rows, predicted=predicted)

    def observe(self, choice: Choice, fields: Mapping[str, Any], now_s: float) -> None:
        """Learn from an answered batch: the link from its exchanges, the boards from its computing.

        Of the exchanges of one request the fastest says most: the others also waited for a board
        that was late.
        """
        if fields["fallback"] is not None or fields["plan"] != str(choice.plan):
            return
        spans: dict[str, list[tuple[float, int]]] = {
            name: [] for name in ("exchange", "wait", "scatter", "gather", "compute")
        }
        for name, _, duration_s, payload_bytes in fields["spans"]:
            spans.setdefault(name, []).append((duration_s, payload_bytes))
        if spans["exchange"] and self._link is not None:
            pairs = zip(spans["exchange"], spans["wait"], strict=True)
            heard = [(took, wait) for took, wait in pairs if took[1] > 0]
            if heard:
                (seconds, size), (waited_s, _) = min(heard)
                self._see(size, seconds, waited_s > JOINED_LATE_S, now_s)
        if choice.predicted is None:
            return
        if spans["compute"]:
            computed_s = sum(duration_s for duration_s, _ in spans["compute"])
        else:
            idle = ("wait", "scatter", "gather")
            waited_s = sum(duration_s for name in idle for duration_s, _ in spans[name])
            computed_s = fields["engine_s"] - waited_s
        before = self._corrections.get(choice.model, ComputeCorrection())
        self._corrections[choice.model] = before.observe(
            choice.plan,
            choice.batch,
            observed_s=computed_s,
            predicted_s=choice.predicted.terms["compute_s"],
            now_s=now_s,
        )

    def probe_due(self, now_s: float, boards: int) -> int | None:
        """Bytes to exchange now to learn the link; None when nobody needs to know."""
        if self._link is None or boards < 2:
            return None
        return self._link.probe_due(now_s, idle=True)

    def probed(self, size: int, seconds: Sequence[float], now_s: float) -> None:
        """A probe of ``size`` bytes each way took ``seconds``."""
        for duration_s in seconds:
            self._see(size, duration_s, True, now_s)

    def link(self) -> LinkState | None:
        """The link as it is believed to be now."""
        return self._link.link if self._link is not None else None

    def complaint(self) -> str | None:
        """Why some models are answered locally whatever the link."""
        if not self._missing or len(self._settings.boards) == 1:
            return None
        return next(iter(self._missing.values()))

    def link_text(self) -> str:
        return link_text(self.link())

    def _see(self, size: int, seconds: float, exact: bool, now_s: float) -> None:
        assert self._link is not None
        before = self._link.link.bandwidth_bps
        self._link = self._link.observe(
            payload_bytes=size, seconds=seconds, exact=exact, now_s=now_s
        )
        after = self._link.link.bandwidth_bps
        if not 0.7 < after / before < 1.4:
            LOG.info("link changed from_bps=%.3g to_bps=%.3g", before, after)

    def _for(self, name: str, boards: Sequence[str]) -> Costs:
        """The model's costs with the boards in service as ranks."""
        key = (name, tuple(boards))
        if key not in self._ranked:
            self._ranked[key] = self._costs[name].ranked(boards)
        return self._ranked[key]
