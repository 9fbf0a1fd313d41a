"""Plans against each other by paired requests, on a cluster as it is now."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from prism_edge.errors import PlanError, SettingsError
from prism_edge.layout import ModelShape, check_fits
from prism_edge.plan import Plan
from prism_edge.profile.conditions import load_average
from prism_edge.profile.engines import start_engines
from prism_edge.profile.measured import Measured
from prism_edge.profile.place import find_place
from prism_edge.profile.request import measure_requests
from prism_edge.profile.sweep import Request
from prism_edge.settings import Settings
from prism_edge.tables import RequestRow
from prism_edge.traffic import wire_bytes

TIMEOUT_S = 60.0  # longest silence inside an exchange
RESAMPLES = 2000
LEVEL = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What to compare: ``plans``, each by its ratio to every plan of ``against``."""

    model: str
    plans: tuple[Plan, ...]
    against: tuple[Plan, ...]
    batch: int
    tokens: int | None = None
    repeats: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        for name, value in (("batch", self.batch), ("repeats", self.repeats)):
            if value < 1:
                raise SettingsError(f"--{name} {value}: allowed is 1 or more")
        missing = [str(plan) for plan in self.against if plan not in self.plans]
        if missing:
            raise PlanError(f"--against {missing[0]}: is not among the plans compared")


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A median and the interval that holds 95 % of its bootstrap resamples."""

    median: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One plan: its latency, its paired ratio to each baseline (below 1: faster), its bytes."""

    plan: str
    latency_s: Estimate
    ratios: Mapping[str, Estimate]
    wire_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Plans compared, and under which conditions."""

    plans: tuple[Compared, ...]
    conditions: Mapping[str, str]


def compare_plans(
    settings: Settings, wanted: Wanted, tell: Callable[[Measured, float], None]
) -> Comparison:
    """Every plan answered ``repeats`` times, interleaved, on the hosts of a cluster.

    Raises ``PlanError`` before anything is measured when a plan does not fit.
    """
    model = settings.model(wanted.model)
    place = find_place(settings)
    before = load_average()
    rows: list[RequestRow] = []
    with start_engines(
        place.hosts, [model], timeout_s=TIMEOUT_S, pace_file=place.pace_file
    ) as engines:
        shape = engines.models[0].shape
        tokens = shape.tokens if shape.fixed_tokens else wanted.tokens or min(128, shape.tokens)
        wire = wire_of(wanted, shape, tokens, len(place.hosts))
        if any(plan.p > 1 for plan in wanted.plans):
            engines.join()
        requests = [
            Request(model=model.name, plan=plan, batch=wanted.batch, tokens=tokens, weight_s=1.0)
            for plan in wanted.plans
        ]
        for measured in measure_requests(
            engines,
            requests,
            rounds=wanted.repeats,
            seed=wanted.seed,
            deadline_s=float("inf"),
            now=time.monotonic,
        ):
            rows += [row for row in measured.rows if isinstance(row, RequestRow)]
            tell(measured, len(requests) * (wanted.repeats + 1.0))
        torch = engines.fact(0, "torch")
    return Comparison(
        plans=tuple(compared(rows, wanted, wire)),
        conditions={
            "cluster": settings.name,
            "kind": settings.kind,
            "boards": str(len(place.hosts)),
            "link": place.link,
            "model": model.name,
            "batch": str(wanted.batch),
            "tokens": str(tokens),
            "repeats": str(wanted.repeats),
            "torch": torch,
            "load_average": f"{before} before, {load_average()} after",
        },
    )


def compared(rows: Sequence[RequestRow], wanted: Wanted, wire: Mapping[str, int]) -> list[Compared]:
    """Every plan with its interval and its paired ratios. Pure."""
    by_plan = {
        str(plan): {row.repeat: row.latency_s for row in rows if row.plan == str(plan)}
        for plan in wanted.plans
    }
    return [
        Compared(
            plan=name,
            latency_s=bootstrap(list(seconds.values()), wanted.seed),
            ratios={
                str(base): bootstrap(paired_ratios(seconds, by_plan[str(base)]), wanted.seed)
                for base in wanted.against
            },
            wire_bytes=wire[name],
        )
        for name, seconds in by_plan.items()
    ]


def paired_ratios(mine: Mapping[int, float], theirs: Mapping[int, float]) -> list[float]:
    """mine / theirs for every round that has both."""
    return [mine[turn] / theirs[turn] for turn in sorted(mine) if turn in theirs]


def bootstrap(values: Sequence[float], seed: int) -> Estimate:
    """The median of ``values`` with its bootstrap interval; one value is its own interval."""
    assert values
    source = random.Random(seed)
    medians = sorted(
        statistics.median(source.choices(values, k=len(values))) for _ in range(RESAMPLES)
    )
    cut = round(RESAMPLES * (1 - LEVEL) / 2)
    return Estimate(median=statistics.median(values), low=medians[cut], high=medians[-1 - cut])


def wire_of(wanted: Wanted, shape: ModelShape, tokens: int, boards: int) -> dict[str, int]:
    """Payload bytes of one request under each plan; ``PlanError`` when one does not fit."""
    for plan in wanted.plans:
        check_fits(plan, shape, wanted.batch, tokens, boards)
    return {str(plan): wire_bytes(plan, shape, wanted.batch, tokens) for plan in wanted.plans}
