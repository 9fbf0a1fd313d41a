"""What ``bench policy`` found as text that people read: 120 columns at most. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from prism_edge.cli.bench_table import EMULATED, SAID, WIDTH, condition
from prism_edge.cluster.shaping import format_rate

PLAN = 31  # split+prism:p=2,l=10,dtype=fp16
RATE = 9


def readable(said: Mapping[str, Any]) -> str:
    """The report: figures first, then the situations, then the conditions."""
    lines = [
        *figures(said),
        "",
        *ratios(said),
        "",
        *situations(said["situations"]),
        "",
        *reactions(said["reactions"], said["situations"]),
        "",
        *predictions(said["prediction"]),
        "",
    ]
    if said["conditions"].get("emulated"):
        lines += [EMULATED, ""]
    for key, value in said["conditions"].items():
        lines += condition(key, value) if key not in SAID else []
    return "\n".join(lines)


def figures(said: Mapping[str, Any]) -> list[str]:
    """The figures of the whole trace, one a line."""
    low, high = said["regret_interval"]
    switches, moves = said["switches_per_100"], said["switches"]
    trace = said["decision_in_trace"]
    shown = [
        f"{len(said['rounds'])} requests",
        f"regret       {said['regret']:+.1%} [{low:+.1%}, {high:+.1%}] of the oracle's latency",
        f"reaction     {sum(one['in_time'] for one in said['reactions'])} of "
        f"{len(said['reactions'])} changes followed within 3 requests or 2 s; after steps at most "
        f"{said['reaction_requests']['max_after_steps']} requests",
        f"switches     {number(switches)} per 100 requests while nothing changes "
        f"({moves['switches']} of {moves['chances']})",
        f"choosing     {micro(said['decision_p99_s'])} us at the 99th percentile with "
        f"{said['decision_candidates']} candidates; in the trace {micro(trace['p99_s'])} us with "
        f"{trace['candidates']}; not on a board",
    ]
    return [shown[0], *(f"  {line}" for line in shown[1:])]


def ratios(said: Mapping[str, Any]) -> list[str]:
    """Adaptive over every static plan."""
    lines = [f"{'adaptive over':{PLAN}}  {'latency':>22}  {'energy, modelled':>22}"]
    for plan in said["latency_ratio"]:
        shown = [
            f"{said[key][plan]:.3f} [{said[f'{key}_interval'][plan][0]:.3f}, "
            f"{said[f'{key}_interval'][plan][1]:.3f}]"
            for key in ("latency_ratio", "energy_ratio")
        ]
        best = "  best static exact plan" if plan == said["best_static_exact"] else ""
        lines.append(f"{plan:{PLAN}}  {shown[0]:>22}  {shown[1]:>22}{best}")
    return lines


def situations(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What was best and what was chosen, by situation and batch."""
    lines = [
        f"{'link':{RATE}} {'slowed':>6}  {'batch':>5}  {'n':>3}  {'oracle':{PLAN}} {'ms':>7}  "
        f"{'adaptive, mostly':{PLAN}} {'ms':>7}  {'good':>5}"
    ]
    for row in rows:
        slowed = f"{row['slowed']:.0%}" if row["slowed"] else ""
        best_ms = row["medians_s"][row["oracle"]] * 1e3
        lines.append(
            f"{format_rate(row['rate_bps']):{RATE}} {slowed:>6}  {row['batch']:>5}  "
            f"{row['requests']:>3}  {row['oracle']:{PLAN}} {best_ms:7.1f}  "
            f"{row['adaptive']:{PLAN}} {row['adaptive_s'] * 1e3:7.1f}  "
            f"{row['good']:>2}/{row['requests']:<2}"
        )
    return lines


def reactions(found: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """How every change was followed."""
    names = {
        row["situation"]: format_rate(row["rate_bps"])
        + (f", slowed {row['slowed']:.0%}" if row["slowed"] else "")
        for row in rows
    }
    lines = [f"{'change to':30} {'requests':>8}  {'s':>6}  telling requests"]
    for one in found:
        missed = "" if one["in_time"] else ", late" if one["followed"] else ", not followed"
        change = f"{'step' if one['step'] else 'ramp'} to {names[one['situation']]}"
        lines.append(
            f"{change:30} {one['requests']:>8}  {one['seconds']:6.2f}  {one['telling']}{missed}"
        )
    return lines


def predictions(said: Mapping[str, Any]) -> list[str]:
    """The cost model on cells that were not profiled."""
    head = f"{'predicted, not profiled':{PLAN}}  {'cells':>5}  {'answers':>7}  {'median':>7}  "
    lines = [f"{head}{'p90':>7}  {'in 90 % intervals':>17}  {'of all answers':>14}"]
    for name, one in [("all", said), *said["by_plan"].items()]:
        shown = [
            "" if one[key] is None else f"{one[key]:.1%}"
            for key in ("median_error", "p90_error", "coverage", "answer_coverage")
        ]
        lines.append(
            f"{name:{PLAN}}  {one['cells']:>5}  {one['answers']:>7}  {shown[0]:>7}  {shown[1]:>7}  "
            f"{shown[2]:>17}  {shown[3]:>14}"
        )
    note = (
        "Relative errors of predicted latencies with the true link rate given, against medians. "
        "In intervals: the mean over cells of the share of answers."
    )
    return [*lines, *textwrap.wrap(note, WIDTH)]


def number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def micro(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1e6:.0f}"
