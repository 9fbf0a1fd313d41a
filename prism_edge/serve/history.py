"""What happened in the last quarter of an hour, for the live page. Pure: time is an argument.

Times are monotonic. A bin of time holds counts and not requests, so that neither memory nor the
work of a view grows with what the daemon has answered.
"""

from __future__ import annotations

import math
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from prism_edge.energy.rows import RequestRow
from prism_edge.energy.sample import Sample
from prism_edge.palette import MARKS, method_of
from prism_edge.schedule.policy import Decision

BIN_S = 10.0
BINS = 90
RECENT_S = 300.0  # percentiles are of this much
LAST = 20  # batches and events that are shown
STALE_S = 5.0  # power older than this is not power now
RATIO = 1.02  # between a latency and the next that is told apart: percentiles are good to 1 %
LONGEST = 800  # characters of a text; it may quote what a client sent


@dataclass(slots=True)
class Bin:
    """Counts of one stretch of time; latencies by the power of ``RATIO`` they come to."""

    number: int
    methods: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    latencies: Counter[int] = field(default_factory=Counter)
    power: dict[str, tuple[float, int]] = field(default_factory=dict)
    shown: dict[str, object] | None = None  # until something is counted

    def show(self) -> dict[str, object]:
        """The bin on its own."""
        if self.shown is None:
            self.shown = {
                "t_s": self.number * BIN_S,
                "methods": {name: self.methods[name] for name in MARKS if self.methods[name]},
                "lost": self.lost,
                **percentiles((self,), (50, 95)),
            }
        return self.shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Power:
    """A board's last reading."""

    power_w: float
    source: str
    t_s: float


class History:
    """Told what the leader remembers; ``view`` is what a page needs of it, as JSON can carry it."""

    def __init__(self, start_s: float = 0.0) -> None:
        self._start_s = start_s
        self._bins: deque[Bin] = deque(maxlen=BINS)
        self._batches: deque[dict[str, object]] = deque(maxlen=LAST)
        self._events: deque[dict[str, object]] = deque(maxlen=LAST)
        self._decided: OrderedDict[str, Decision] = OrderedDict()
        self._power: dict[str, Power] = {}

    def decided(self, request: str, decision: Decision) -> None:
        """The policy's decision on a batch that is not answered yet."""
        self._decided[request] = decision
        while len(self._decided) > LAST:
            self._decided.popitem(last=False)

    def batch(self, row: RequestRow, now_s: float) -> None:
        """A batch was answered, or refused after it was admitted."""
        bin_, method = self._bin(now_s), method_of(row.plan)
        bin_.shown = None
        if not row.ok:
            bin_.lost += 1
        else:
            bin_.methods[method] += 1
            if row.latency_s is not None and row.latency_s > 0:
                bin_.latencies[math.floor(math.log(row.latency_s, RATIO))] += 1
        decision = self._decided.pop(row.id, None)
        predicted = decision.predicted if decision and str(decision.plan) == row.plan else None
        self._batches.appendleft(
            {
                "t_s": round(now_s, 2),
                "id": row.id,
                "model": row.model,
                "batch": row.batch,
                "plan": row.plan,
                "method": method,
                "mark": MARKS[method][1],
                "forced": row.forced,
                "predicted_s": predicted and _rounded(predicted.latency_s),
                "run_s": _rounded(row.stop_s - row.start_s),
                "latency_s": row.latency_s and _rounded(row.latency_s),
                "ok": row.ok,
                "why": _short(row.why),
                "error": _short(row.error),
            }
        )

    def event(self, kind: str, detail: str, now_s: float) -> None:
        """Something happened."""
        said = {"t_s": round(now_s, 2), "kind": kind, "detail": _short(detail)}
        self._events.appendleft(said)

    def sample(self, sample: Sample, now_s: float) -> None:
        """A board's power reading; without a total there is nothing to show."""
        if sample.power_w is None:
            return
        power, board = self._bin(now_s).power, sample.board
        total_w, count = power.get(board, (0.0, 0))
        power[board] = total_w + sample.power_w, count + 1
        self._power[board] = Power(power_w=sample.power_w, source=sample.source, t_s=now_s)

    def view(self, now_s: float) -> dict[str, object]:
        """Everything, newest first; bins oldest first, empty ones left out."""
        oldest = math.floor(now_s / BIN_S) - BINS + 1
        bins = [bin_ for bin_ in self._bins if bin_.number >= oldest]
        recent = [bin_ for bin_ in bins if bin_.number * BIN_S >= now_s - RECENT_S]
        methods: Counter[str] = Counter()
        for bin_ in bins:
            methods.update(bin_.methods)
        return {
            "now_s": round(now_s, 2),
            "bin_s": BIN_S,
            "window_s": BIN_S * BINS,
            "up_s": round(now_s - self._start_s),
            "recent": {
                "seconds": round(max(0.0, min(RECENT_S, now_s - self._start_s))),
                "answered": sum(bin_.methods.total() for bin_ in recent),
                "lost": sum(bin_.lost for bin_ in recent),
                **percentiles(recent, (50, 95, 99)),
            },
            "methods": [
                {"method": name, "mark": mark, "count": methods[name]}
                for name, (_, mark) in MARKS.items()
                if methods[name]
            ],
            "over_time": [bin_.show() for bin_ in bins if bin_.methods or bin_.lost],
            "power": {board: self._power_of(board, bins, now_s) for board in self._power},
            "decisions": list(self._batches),
            "events": list(self._events),
        }

    def last(self) -> list[dict[str, object]]:
        """The last batches, newest first."""
        names = ("id", "model", "batch", "plan", "why", "latency_s", "ok", "error")
        return [{name: batch[name] for name in names} for batch in self._batches]

    def _power_of(self, board: str, bins: Iterable[Bin], now_s: float) -> dict[str, object]:
        last = self._power[board]
        means = [(b.number * BIN_S, *b.power[board]) for b in bins if board in b.power]
        return {
            "power_w": _rounded(last.power_w) if now_s - last.t_s <= STALE_S else None,
            "source": last.source,
            "trace": [[t_s, _rounded(total_w / count)] for t_s, total_w, count in means],
        }

    def _bin(self, now_s: float) -> Bin:
        number = math.floor(now_s / BIN_S)
        if not self._bins or self._bins[-1].number < number:
            self._bins.append(Bin(number))
        return self._bins[-1]


def percentiles(bins: Iterable[Bin], wanted: Iterable[int]) -> dict[str, float | None]:
    """``p50_s`` and so on, to 1 %: the smallest latency that so many percent do not exceed."""
    counts: defaultdict[int, int] = defaultdict(int)
    for bin_ in bins:
        for key, count in bin_.latencies.items():
            counts[key] += count
    total, ordered = sum(counts.values()), sorted(counts)
    found: dict[str, float | None] = {}
    for percent in wanted:
        seen, rank = 0, math.ceil(percent / 100 * total)
        found[f"p{percent}_s"] = None
        for key in ordered:
            seen += counts[key]
            if seen >= rank:
                found[f"p{percent}_s"] = _rounded(RATIO ** (key + 0.5))
                break
    return found


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")


def _short(text: str | None) -> str | None:
    return text if text is None or len(text) <= LONGEST else f"{text[:LONGEST]}…"
