"""The figures of ``prism-edge bench serve`` for people: times in milliseconds. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prism_edge.client.figures import QUANTILES

ROWS = {
    "latency_s": "latency",
    "late_s": "  sent late by",
    "queue_s": "  in the queue",
    "run_s": "  in a batch",
    "engine_s": "    in the engine",
}
ADDED = {
    "added_s": "added to the engine's time",
    "http_s": "  by HTTP, client included",
    "queue_s": "  by waiting for company",
    "hand_over_s": "  between agent and engine",
    "engine_s": "the engine's own time",
}
LEGEND = (
    "ms, of requests that were answered; - where they are too few. latency: from when a request "
    "was due to its answer."
)


def readable(said: Mapping[str, Any]) -> str:
    """Outcomes, times, plans and conditions as lines."""
    conditions = [
        f"{key}: {value}" for key, value in said["conditions"].items() if value is not None
    ]
    if not said["requests"]:
        return "\n".join(["nothing was sent", "", *conditions])
    lines = [
        f"{said['requests']} requests in {said['seconds']:.1f} s: "
        + ", ".join(f"{count} x {outcome}" for outcome, count in said["outcomes"].items())
    ]
    lines += [f"  {count} x {text}" for text, count in said["reasons"].items()]
    if said["not_sent"]:
        lines.append(f"{said['not_sent']} were not sent")
    if said["offered_hz"] is not None:
        lines.append(f"offered   {said['offered_hz']:.2f} requests per second")
    lines.append(
        f"achieved  {said['achieved_hz']:.2f} requests per second, {said['rows_per_s']:.2f} rows"
    )
    lines += ["", *_table(ROWS, said)]
    lines += ["", *(f"{count} x {plan}" for plan, count in said["plans"].items())]
    if "overhead" in said:
        found = said["overhead"]
        low, high = found["added_p50_low_s"], found["added_p50_high_s"]
        lines += ["", *_table(ADDED, found)]
        lines.append(
            f"added at p50: {_ms(found['added_p50_s'])} ms "
            f"[{_ms(low)}, {_ms(high)}], 95 % bootstrap interval"
        )
    if "health" in said:
        lines += ["", *_health(said["health"])]
    if "overload" in said:
        lines += ["", *_overloaded(said["overload"])]
    return "\n".join([*lines, "", LEGEND, "", *conditions])


def _health(found: Mapping[str, Any]) -> list[str]:
    lines = [f"{'':24}{'p50':>10}{'p99':>10}{'max':>10}"]
    for phase in ("inference", "restart"):
        lines += [
            f"{path:24}{_ms(one['p50']):>10}{_ms(one['p99']):>10}{_ms(one['max']):>10}  "
            f"{phase}, {one['asked']} asked, {one['unanswered']} unanswered"
            for path, one in found.get(phase, {}).items()
        ]
    if "restart_s" in found:
        lines.append(f"the engine was back {found['restart_s']:.1f} s after it was killed")
    return lines


def _overloaded(found: Mapping[str, Any]) -> list[str]:
    memory = [
        f"{name} {mib['before']:.0f} MiB before, {mib['most']} at most, {mib['after']} after"
        for name, mib in found["resident_mib"].items()
    ]
    before, after = found["alone_p50_s"]["before"], found["alone_p50_s"]["after"]
    return [
        f"sustained {found['sustained_hz']:.1f} requests per second, {found['times']:g} x that is "
        f"{found['offered_hz']:.0f}, sent {found['sent_hz']:.0f}, answered in time "
        f"{found['answered_hz']:.1f}",
        f"accepted  {found['accepted']}, in time (within {found['deadline_s']:g} s) "
        f"{found['accepted_in_time']}, p99 {_ms(found['accepted_s']['p99'])} ms",
        f"refused   {found['refused']}, p99 {_ms(found['refused_s']['p99'])} ms; "
        f"{found['refused_later']} had waited",
        f"queue     {found['queue_most']} at most",
        *(["memory    " + "; ".join(memory)] if memory else []),
        f"afterwards the first answer came after {_ms(found['recovered_s'])} ms; one alone takes "
        f"{_ms(after)} ms, before {_ms(before)} ms",
    ]


def _table(rows: Mapping[str, str], found: Mapping[str, Any]) -> list[str]:
    width = max(map(len, rows.values()))
    lines = [" " * width + "".join(f"{name:>10}" for name in QUANTILES)]
    return lines + [
        f"{title:{width}}" + "".join(f"{_ms(value):>10}" for value in found[key].values())
        for key, title in rows.items()
    ]


def _ms(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1e3:.2f}"
