"""What a profile says: measured cells, the link's fit, and predictions beside measured requests."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from statistics import median
from typing import TypeVar

from prism_edge.errors import PrismError
from prism_edge.plan import Plan
from prism_edge.report.stats import median_interval
from prism_edge.report.values import Accuracy, Allowance, Check, ComputeCost, LinkCost
from prism_edge.report.values import Costs as CostNumbers
from prism_edge.schedule.accuracy import drop_of, too_inaccurate, worst_drops
from prism_edge.schedule.cost import Costs, Prediction, costs_of, predict
from prism_edge.schedule.events import Aim
from prism_edge.schedule.link import Line, fit_links
from prism_edge.tables import AccuracyRow, ComputeRow, Profile, RequestRow

_R = TypeVar("_R")
_K = TypeVar("_K")


def costs(profile: Profile, aim: Aim | None = None) -> CostNumbers:
    """The numbers of ``profile``; a request it cannot predict says why. ``aim``: the policy's, if
    it is known."""
    links = fit_links(profile.link)
    checks = _checks(profile)
    errors = [abs(check.error) for check in checks if check.error is not None]
    lines = {} if links is None else {"exchange": links.exchange, "oneway": links.oneway}
    fits = tuple(fit for name, line in lines.items() if (fit := _fit(profile, name, line)))
    return CostNumbers(
        cluster=profile.cluster,
        created=profile.created,
        version=profile.version,
        link_description=profile.link_description,
        boards={
            board.name: ", ".join(
                [board.device, *(f"{key} {value}" for key, value in board.facts.items())]
            )
            for board in profile.boards
        },
        conditions=dict(profile.conditions),
        warnings=profile.warnings,
        compute=_compute(profile),
        link=fits,
        half_duplex=None if links is None else links.half_duplex,
        checks=checks,
        median_error=median(errors) if errors else None,
        accuracy=tuple(
            Accuracy(
                model=row.model,
                plan=row.plan,
                dataset=row.dataset,
                metric=row.metric,
                value=row.value,
                n=row.n,
                low=row.ci_low,
                high=row.ci_high,
            )
            for row in profile.accuracy
        ),
        budget=() if aim is None else tuple(_allowances(profile, aim)),
    )


def _allowances(profile: Profile, aim: Aim) -> Iterator[Allowance]:
    """Of every plan whose accuracy or time was measured, of models with a budget."""
    for model in (entry.name for entry in profile.models):
        limit = aim.of(model).max_accuracy_drop
        if limit is None:
            continue
        drops = worst_drops(profile.accuracy, model)
        rows: list[AccuracyRow | RequestRow] = [*profile.accuracy, *profile.request]
        for text in dict.fromkeys(row.plan for row in rows if row.model == model):
            plan = Plan.parse(text)
            if not plan.exact:
                yield Allowance(
                    model=model,
                    plan=text,
                    drop=drop_of(plan, drops),
                    out="exact plans only" if aim.exact else too_inaccurate(plan, drops, limit),
                )


def _compute(profile: Profile) -> tuple[ComputeCost, ...]:
    cells = _by(
        profile.compute, lambda r: (r.model, r.board, r.batch, r.tokens_own, r.tokens_known)
    )
    longest = {row.model: 0 for row in profile.compute}
    for row in profile.compute:
        longest[row.model] = max(longest[row.model], row.tokens_known)
    found = []
    for (model, board, batch, own, known), rows in sorted(cells.items()):
        low_s, high_s = median_interval([row.latency_s for row in rows])
        found.append(
            ComputeCost(
                model=model,
                board=board,
                batch=batch,
                tokens_own=own,
                tokens_known=known,
                used_by=_used_by(rows[0], longest[model]),
                n=len(rows),
                p50_s=median(row.latency_s for row in rows),
                low_s=low_s,
                high_s=high_s,
            )
        )
    return tuple(found)


def _used_by(row: ComputeRow, longest: int) -> str:
    """The methods that give a board such a share of a request."""
    if row.tokens_own == row.tokens_known:
        return "local, split"
    return "voltage" if row.tokens_known == longest else "prism"


def _fit(profile: Profile, operation: str, line: Line) -> LinkCost | None:
    rows = [
        row
        for row in profile.link
        if row.op == operation and row.load == "idle" and row.world == 2  # those that are fitted
    ]
    if not rows:  # the other operation's line stands in for it
        return None
    return LinkCost(
        operation=operation,
        n=len(rows),
        fewest_bytes=min(row.bytes for row in rows),
        most_bytes=max(row.bytes for row in rows),
        alpha_s=line.alpha_s,
        bandwidth_bps=line.bandwidth_bps if math.isfinite(line.bandwidth_bps) else None,
        error=line.error,
    )


def _checks(profile: Profile) -> tuple[Check, ...]:
    models: dict[str, Costs | str] = {}
    for entry in profile.models:
        try:
            models[entry.name] = costs_of(profile, entry.name)
        except PrismError as error:
            models[entry.name] = str(error)
    found = _by(profile.request, lambda r: (r.model, r.batch, r.tokens, r.plan))
    return tuple(_check(models[key[0]], rows) for key, rows in sorted(found.items()))


def _check(known: Costs | str, rows: list[RequestRow]) -> Check:
    row, measured_s = rows[0], median(row.latency_s for row in rows)
    low_s, high_s = median_interval([row.latency_s for row in rows])
    found = (
        known
        if isinstance(known, str)
        else predict(known, Plan.parse(row.plan), row.batch, row.tokens, known.link)
    )
    predicted_s = found.latency_s if isinstance(found, Prediction) else None
    reason = None if isinstance(found, Prediction) else getattr(found, "reason", str(found))
    return Check(
        model=row.model,
        plan=row.plan,
        batch=row.batch,
        tokens=row.tokens,
        n=len(rows),
        measured_s=measured_s,
        low_s=low_s,
        high_s=high_s,
        predicted_s=predicted_s,
        error=predicted_s / measured_s - 1 if predicted_s is not None and measured_s else None,
        missing=reason,
    )


def _by(rows: Iterable[_R], key: Callable[[_R], _K]) -> dict[_K, list[_R]]:
    found: dict[_K, list[_R]] = {}
    for row in rows:
        found.setdefault(key(row), []).append(row)
    return found
