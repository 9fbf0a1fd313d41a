"""Everything a report shows, as frozen values in SI units; the JSON file is exactly these."""

from __future__ import annotations

from dataclasses import dataclass

from prism_edge.report.stats import Latency, Speedup
from prism_edge.report.windows import GroupEnergy


@dataclass(frozen=True, kw_only=True, slots=True)
class Series:
    """What one way of answering took: latencies and energy of ``n`` answered batches."""

    n: int
    latency: Latency | None
    energy: GroupEnergy


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """The batches of one phase, model and batch size.

    ``plans`` counts what ran where the policy chose (``adaptive``). ``always_local`` and
    ``always_full`` were asked for by the user. Speed-ups are paired, adaptive against those.
    """

    phase: str
    note: str
    model: str
    batch: int
    plans: dict[str, int]
    adaptive: Series
    always_local: Series
    always_full: Series
    speedup_local: Speedup | None
    speedup_full: Speedup | None
    answered: int
    failed: int
    fallbacks: int


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanSeries:
    """Latency and energy of one plan in one phase, on one model and batch size, by anyone's choice.

    ``wire_bytes``: payload of one batch over all boards, the median; None where not recorded.
    """

    phase: str
    model: str
    batch: int
    plan: str
    wire_bytes: float | None
    series: Series


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """One executed batch; ``t_s`` counts from the start of the run, ``meant`` if it fell back.

    ``predicted_s``: what the policy expected ``run_s``, from dispatch to completion, to be, as its
    ``why`` says; None where it had no say.
    """

    id: str
    t_s: float
    model: str
    batch: int
    plan: str
    asked: bool
    why: str | None
    predicted_s: float | None
    run_s: float
    latency_s: float | None
    ok: bool
    error: str | None
    meant: str | None
    phase: int
    wire_bytes: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Foresight:
    """What the policy expected of a plan and what it took, in ``n`` batches.

    ``ratio``: median of run over predicted time, with its interval; ``error``: median of how far
    these ratios are from 1.
    """

    model: str
    batch: int
    plan: str
    n: int
    predicted_s: float
    ran_s: float
    ratio: float
    low: float | None
    high: float | None
    error: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """A phase on the run's own clock."""

    name: str
    note: str
    start_s: float
    stop_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """Something that happened ``t_s`` seconds into the run."""

    t_s: float
    kind: str
    detail: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Reason:
    """Why batches fell back or failed: how many, under which plan, in which phases."""

    plan: str
    reason: str
    n: int
    phases: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Trace:
    """A board's power over time in even bins: mean, lowest, highest; None where no sample is."""

    board: str
    source: str
    mean_w: float
    samples: int
    t_s: tuple[float, ...]
    power_w: tuple[float | None, ...]
    low_w: tuple[float | None, ...]
    high_w: tuple[float | None, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ComputeCost:
    """Time of one board's share of a request, as profiled; ``used_by``: methods that need it."""

    model: str
    board: str
    batch: int
    tokens_own: int
    tokens_known: int
    used_by: str
    n: int
    p50_s: float
    low_s: float | None
    high_s: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class LinkCost:
    """A line through the link's measurements: latency = alpha_s + 8 x bytes / bandwidth_bps.

    ``bandwidth_bps`` is None when size made no difference; ``error`` is the mean relative residual.
    """

    operation: str
    n: int
    fewest_bytes: int
    most_bytes: int
    alpha_s: float
    bandwidth_bps: float | None
    error: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """What the cost model predicts for a request that the profile also measured end to end."""

    model: str
    plan: str
    batch: int
    tokens: int
    n: int
    measured_s: float
    low_s: float | None
    high_s: float | None
    predicted_s: float | None
    error: float | None
    missing: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Accuracy:
    """What a plan scores, as profiled."""

    model: str
    plan: str
    dataset: str
    metric: str
    value: float
    n: int
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Allowance:
    """What a plan may lose at worst, None: never measured; ``out``: why the policy may not take it
    under its budget, None: it may."""

    model: str
    plan: str
    drop: float | None
    out: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Costs:
    """What the profile says: the tables that the policy decides by, and how well they predict.

    ``budget``: of plans that approximate, empty when the policy has none."""

    cluster: str
    created: str
    version: str
    link_description: str
    boards: dict[str, str]
    conditions: dict[str, str]
    warnings: tuple[str, ...]
    compute: tuple[ComputeCost, ...]
    link: tuple[LinkCost, ...]
    half_duplex: bool | None
    checks: tuple[Check, ...]
    median_error: float | None
    accuracy: tuple[Accuracy, ...]
    budget: tuple[Allowance, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """A whole report. ``missing``: what the journal lacks; ``limits``: what it cannot say.

    ``aim``: what the policy was told to minimise and within which limits, None where unknown.
    """

    cluster: str
    kind: str
    setting: str
    version: str
    started: str | None
    duration_s: float
    boards: dict[str, str]
    power: str
    aim: str | None
    answered: int
    failed: int
    fallback_count: int
    phases: tuple[Span, ...]
    groups: tuple[Group, ...]
    plans: tuple[PlanSeries, ...]
    foresights: tuple[Foresight, ...]
    fallbacks: tuple[Reason, ...]
    failures: tuple[Reason, ...]
    events: tuple[Event, ...]
    batches: tuple[Batch, ...]
    traces: tuple[Trace, ...]
    costs: Costs | None
    missing: tuple[str, ...]
    limits: tuple[str, ...]
