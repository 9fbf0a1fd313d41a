"""All that a policy ever hears, as values: what was asked, what was answered, what a probe took.

Decisions follow from these events alone, so a list of them replays a daemon's day. Each is one line
of JSON. Times are seconds of any one clock that never goes back.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, get_args

from prism_edge.errors import JournalError

Objective = Literal["latency", "energy", "edp"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """What is minimised, and within which limits.

    ``exact``: only plans whose answer is the single board's. ``max_accuracy_drop``: by how much, in
    the metric's own unit, a plan's accuracy may be worse at the bad end of its interval; None: not
    limited. ``drops``: the same of single models, by name. ``hysteresis``: by how much better, as a
    share, another plan must be to replace the one before.
    """

    objective: Objective = "latency"
    exact: bool = False
    max_accuracy_drop: float | None = None
    drops: tuple[tuple[str, float | None], ...] = ()
    hysteresis: float = 0.05

    def __post_init__(self) -> None:
        if self.objective not in get_args(Objective):
            raise ValueError(f"objective={self.objective!r}, allowed is {get_args(Objective)}")

    def __str__(self) -> str:
        """``least latency, at most 0.5 less accuracy``"""
        parts = ["least energy x delay" if self.objective == "edp" else f"least {self.objective}"]
        if self.exact:
            parts.append("exact plans only")
        if self.max_accuracy_drop is not None:
            parts.append(f"at most {self.max_accuracy_drop:g} less accuracy")
        parts += [
            f"{'any loss' if drop is None else f'at most {drop:g} less'} of {model}"
            for model, drop in self.drops
        ]
        return ", ".join(parts)

    def of(self, model: str) -> Aim:
        """What is aimed at with that model."""
        return replace(
            self, max_accuracy_drop=dict(self.drops).get(model, self.max_accuracy_drop), drops=()
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A policy begins, knowing nothing but tables with this digest. ``boards``: by rank."""

    now_s: float
    aim: Aim
    profile: str
    boards: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A batch is to be answered. ``boards``: in service, by rank. ``left_s``: until its deadline,
    None: it has none."""

    now_s: float
    model: str
    batch: int
    tokens: int
    boards: tuple[str, ...]
    left_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A batch was answered under the plan that was meant to answer it.

    ``engine_s``: from order to outputs. ``spans``: the leader's (name, start_s, duration_s, bytes).
    ``efforts``: of ranks 1 and up, seconds computing and seconds waiting, None where not known.
    """

    now_s: float
    model: str
    plan: str
    batch: int
    tokens: int
    boards: tuple[str, ...]
    engine_s: float
    spans: tuple[tuple[str, float, float, int], ...] = ()
    efforts: tuple[tuple[float, float] | None, ...] = ()

    def total_s(self, *names: str) -> float:
        """Summed duration of the leader's spans with these names."""
        return sum(duration_s for name, _, duration_s, _ in self.spans if name in names)


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """Mutual exchanges of ``bytes`` each way, nothing else going on; ``seconds``: 0 for failed."""

    now_s: float
    bytes: int
    seconds: tuple[float, ...]


Event = Started | Asked | Answered | Probed
KINDS: Mapping[str, type[Any]] = {
    "started": Started,
    "asked": Asked,
    "answered": Answered,
    "probed": Probed,
}


def to_json(event: Event) -> str:
    """The event as one line."""
    kind = next(name for name, cls in KINDS.items() if isinstance(event, cls))
    return json.dumps({"event": kind, **asdict(event)}, separators=(",", ":"))


def from_json(text: str) -> Event:
    """The event of a line. Raises ``JournalError`` when it is none."""
    try:
        values = json.loads(text, parse_float=_finite, parse_constant=_finite)
        cls = KINDS[values.pop("event")]
        known = {field.name for field in fields(cls)}
        if not known >= set(values):
            raise ValueError(f"unknown field {sorted(set(values) - known)[0]!r}")
        made: Event = cls(**{name: _frozen(value) for name, value in values.items()})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise JournalError(f"not a decision event: {error}: {text[:80]!r}") from error
    return made


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is no finite number")
    return number


def _frozen(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_frozen(item) for item in value)
    if isinstance(value, dict):
        return Aim(**{name: _frozen(item) for name, item in value.items()})
    return value
