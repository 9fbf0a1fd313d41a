"""The policy as the daemon uses it: tables read once, the link as observed, one choice per batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prism_edge.layout import check_fits
from prism_edge.plan import LOCAL, Plan
from prism_edge.serve.metrics import Fallback
from prism_edge.serve.models import Served
from prism_edge.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The plan for one batch, why, and what it was predicted to take."""

    plan: Plan
    why: str
    key: tuple[str, int, int]
    fallback: Fallback | None = None
    predicted_s: float | None = None


class Decider:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def models(self, models: Mapping[str, Served]) -> None:
        pass

    def choose(self, served: Served, rows: int, tokens: int, boards: int) -> Choice:
        return Choice(plan=LOCAL, why="no tables", key=(served.info.name, rows, tokens))

    def forced(self, served: Served, plan: Plan, rows: int, tokens: int, boards: int) -> Choice:
        key = (served.info.name, rows, tokens)
        check_fits(plan, served.shape, rows, tokens, plan.p)
        if plan.p > boards:
            why = f"{plan} was asked for, but {boards} board(s) are in service; answered locally"
            return Choice(plan=LOCAL, why=why, key=key, fallback="alone")
        return Choice(plan=plan, why="asked for by the request", key=key)

    def observe(
        self, choice: Choice, fields: Mapping[str, Any], latency_s: float, now_s: float
    ) -> None:
        pass

    def probe_due(self, now_s: float, boards: int) -> int | None:
        return None

    def probed(self, size: int, seconds: Sequence[float], now_s: float) -> None:
        pass

    def rate_bps(self) -> float | None:
        return None

    def link_text(self) -> str:
        return "unknown"

    def complaint(self) -> str | None:
        return None
