"""What interleaved rounds say: every plan by its paired ratios, with bootstrap intervals. Pure.

What disturbs a machine for seconds disturbs a whole round, so ratios within rounds hold where
seconds do not.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from prism_edge.intervals import LEVEL, resampled_medians
from prism_edge.plan import LOCAL, Plan

RESAMPLES = 2000

# prefill: reading prompts up to the first word of each answer. forward: anything else.
Work = Literal["forward", "prefill"]
# hugging-face: its forward. plan: a whole request. floats: local on the very arrays that Hugging
# Face was given. bound: the slowest rank's computing under the plan, nobody waiting for anybody.
Kind = Literal["hugging-face", "plan", "floats", "bound"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One thing that is timed once per round."""

    kind: Kind
    plan: Plan = LOCAL

    def __str__(self) -> str:
        if self.kind == "hugging-face":
            return self.kind
        return {"plan": "", "floats": "floats to ", "bound": "bound of "}[self.kind] + str(
            self.plan
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One timing. ``peak_bytes``: the most that was resident meanwhile, by rank; None: unknown."""

    task: Task
    turn: int
    seconds: float
    peak_bytes: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What is the same for all plans that are compared: model, sizes and link."""

    model: str
    work: Work
    batch: int
    tokens: int
    rate: str | None
    boards: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanFacts:
    """What is known of a plan without timing it. ``syncs``: exchanges one after the other."""

    wire_bytes: int
    syncs: int
    weights_bytes: int
    attention_kernel: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One plan on one cell: medians, ``_low`` and ``_high`` the 95 % interval; None: no such thing.

    ``ratio_hf``: latency over Hugging Face's. ``ratio_full``: over full fp32 exchange.
    ``speedup``: local's latency over this. ``bound_speedup``: over the bound. ``efficiency``:
    bound over latency.
    """

    model: str
    work: Work
    batch: int
    tokens: int
    rate: str | None
    boards: int
    plan: str
    latency_s: float
    latency_low_s: float
    latency_high_s: float
    ratio_hf: float | None
    ratio_hf_low: float | None
    ratio_hf_high: float | None
    ratio_full: float | None
    ratio_full_low: float | None
    ratio_full_high: float | None
    speedup: float | None
    speedup_low: float | None
    speedup_high: float | None
    bound_s: float | None
    bound_speedup: float | None
    efficiency: float | None
    efficiency_low: float | None
    efficiency_high: float | None
    wire_bytes: int | None
    syncs: int | None
    memory_peak_bytes: tuple[int, ...] | None
    weights_bytes: int | None
    attention_kernel: str


Times = Mapping[int, float]  # seconds by round


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A median and the interval that holds 95 % of its bootstrap resamples."""

    median: float
    low: float
    high: float


def rows_of(
    cell: Cell,
    samples: Sequence[Sample],
    facts: Mapping[Plan, PlanFacts],
    hf_kernel: str,
    seed: int,
) -> list[Row]:
    """Hugging Face first, then every plan in the order of ``facts``."""
    times: dict[Task, dict[int, float]] = {}
    for sample in samples:
        times.setdefault(sample.task, {})[sample.turn] = sample.seconds
    hf_task = Task(kind="hugging-face")
    hf, local = times[hf_task], times[Task(kind="plan")]
    full = next((plan for plan in facts if plan.method == "voltage" and plan.dtype == "fp32"), None)
    rows = [_row(cell, hf_task, samples, hf, {"ratio_hf": (hf, hf)}, None, hf_kernel, seed)]
    for plan, known in facts.items():
        task = Task(kind="plan", plan=plan)
        mine, bound = times[task], times.get(Task(kind="bound", plan=plan), {})
        floats = times.get(Task(kind="floats"), mine) if plan == LOCAL else mine
        pairs: dict[str, tuple[Times, Times]] = {
            "ratio_hf": (floats, hf),
            "ratio_full": (mine, times[Task(kind="plan", plan=full)] if full else {}),
            "speedup": (local, mine),
            "bound_speedup": (local, bound),
            "efficiency": (bound, mine),
        }
        row = _row(cell, task, samples, mine, pairs, known, known.attention_kernel, seed)
        rows.append(replace(row, bound_s=statistics.median(bound.values()) if bound else None))
    return rows


def _row(
    cell: Cell,
    task: Task,
    samples: Sequence[Sample],
    latency: Times,
    pairs: Mapping[str, tuple[Times, Times]],
    known: PlanFacts | None,
    kernel: str,
    seed: int,
) -> Row:
    seconds = bootstrap(list(latency.values()), seed)
    ratios = {
        name: bootstrap(paired, seed)
        for name, (mine, theirs) in pairs.items()
        if (paired := paired_ratios(mine, theirs))
    }

    def of(name: str, part: Literal["median", "low", "high"]) -> float | None:
        return getattr(ratios[name], part) if name in ratios else None

    return Row(
        model=cell.model,
        work=cell.work,
        batch=cell.batch,
        tokens=cell.tokens,
        rate=cell.rate,
        boards=cell.boards,
        plan=str(task),
        latency_s=seconds.median,
        latency_low_s=seconds.low,
        latency_high_s=seconds.high,
        ratio_hf=of("ratio_hf", "median"),
        ratio_hf_low=of("ratio_hf", "low"),
        ratio_hf_high=of("ratio_hf", "high"),
        ratio_full=of("ratio_full", "median"),
        ratio_full_low=of("ratio_full", "low"),
        ratio_full_high=of("ratio_full", "high"),
        speedup=of("speedup", "median"),
        speedup_low=of("speedup", "low"),
        speedup_high=of("speedup", "high"),
        bound_s=None,
        bound_speedup=of("bound_speedup", "median"),
        efficiency=of("efficiency", "median"),
        efficiency_low=of("efficiency", "low"),
        efficiency_high=of("efficiency", "high"),
        wire_bytes=known.wire_bytes if known else None,
        syncs=known.syncs if known else None,
        memory_peak_bytes=peaks([sample for sample in samples if sample.task == task]),
        weights_bytes=known.weights_bytes if known else None,
        attention_kernel=kernel,
    )


def peaks(samples: Sequence[Sample]) -> tuple[int, ...] | None:
    """The most that was resident on each rank in any round; None where a round does not know."""
    by_round = [sample.peak_bytes for sample in samples if sample.peak_bytes is not None]
    if len(by_round) < len(samples) or not samples:
        return None
    return tuple(map(max, zip(*by_round, strict=True)))


def paired_ratios(mine: Times, theirs: Times) -> list[float]:
    """mine / theirs for every round that has both."""
    return [mine[turn] / theirs[turn] for turn in sorted(mine) if turn in theirs]


def bootstrap(values: Sequence[float], seed: int) -> Estimate:
    """The median of ``values`` with its bootstrap interval; one value is its own interval."""
    assert values
    medians = resampled_medians(values, RESAMPLES, np.random.default_rng(seed))
    low, high = np.quantile(medians, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return Estimate(median=statistics.median(values), low=float(low), high=float(high))
