"""A snapshot of a daemon as a terminal shows it. Pure: nothing is asked and nothing printed."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from prism_edge.report.units import elapsed, seconds, watts

Snapshot = dict[str, Any]
COLOURS = {"ready": "green", "in service": "green", "degraded": "yellow", "lost": "red"}
DECISIONS = 10  # where there is room for all
BESIDE = 14  # lines, and one a board, that are not decisions


def view(now: Snapshot, lost: str | None, rows: int | None) -> RenderableType:
    """The snapshot in ``rows`` lines, None: as many as it takes; ``lost``: why it is an old one."""
    if not now:
        return Text(lost or "")
    room = DECISIONS if rows is None else max(1, rows - BESIDE - len(now["boards"]))
    parts: list[RenderableType] = [_head(now, lost), _figures(now), Text(), _boards(now), Text()]
    if now["decisions"]:
        parts += [_decisions(now, room), Text()]
    parts += [_line(f"{_ago(now, one)}  {one['kind']}", one["detail"]) for one in now["events"][:3]]
    return Group(*parts)


def _head(now: Snapshot, lost: str | None) -> Text:
    state = "out of reach" if lost else str(now["state"])
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append(_plain(now["board"] if now["role"] == "worker" else now["cluster"]), "bold")
    text.append(f"  {state}", COLOURS.get(state, "red"))
    if now["kind"] == "lab":
        text.append("  emulated lab", "yellow")
    text.append(f"  up {elapsed(now['up_s'])}", "dim")
    return text.append(f"  {_plain(lost or now['reason'])}")


def _figures(now: Snapshot) -> Text:
    recent = now["recent"]
    ran = "  ".join(f"{one['mark']} {one['method']} × {one['count']}" for one in now["methods"])
    return Text(
        f"p50 {seconds(recent['p50_s'])}  p95 {seconds(recent['p95_s'])}  "
        f"p99 {seconds(recent['p99_s'])}  of {recent['answered']} batches in "
        f"{elapsed(recent['seconds'])} min, {recent['lost']} lost; {now['queue'] or 0} wait\n"
        f"plans: {ran or 'none yet'}; {_plain(now['link'] or 'link unknown')}"
    )


def _boards(now: Snapshot) -> Table:
    table = _table("board", "state", "power")
    for board in now["boards"]:
        power = now["power"].get(board["name"], {})
        source = "" if power.get("source") in (None, "sensor") else f" {power['source']}"
        why = board["why"] or (board["silent_s"] and f"silent for {board['silent_s']:.0f} s") or ""
        state = Text(board["state"], COLOURS.get(board["state"], "yellow"))
        if why:
            state.append(f" ({_plain(why)})", "default")
        table.add_row(
            Text(_plain(board["name"])), state, Text(watts(power.get("power_w")) + source)
        )
    return table


def _decisions(now: Snapshot, count: int) -> Table:
    table = _table("ago", "model", "plan", "predicted", "measured", "why")
    for one in now["decisions"][:count]:
        cells = [_ago(now, one), f"{one['model']} × {one['batch']}", f"{one['mark']} {one['plan']}"]
        cells += ["–" if one["predicted_s"] is None else seconds(one["predicted_s"])]
        cells += [seconds(one["run_s"]), one["why"] or one["error"] or ""]
        table.add_row(*map(Text, map(_plain, cells)), style=None if one["ok"] else "red")
    return table


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", expand=True)
    for column in columns:  # the last has what the others leave
        ratio = 1 if column == columns[-1] else None
        table.add_column(column, no_wrap=True, overflow="ellipsis", ratio=ratio)
    return table


def _ago(now: Snapshot, one: Snapshot) -> str:
    return elapsed(now["now_s"] - one["t_s"])


def _line(first: str, rest: str | None) -> Text:
    return Text(_plain(f"{first}  {rest or ''}"), style="dim", no_wrap=True, overflow="ellipsis")


def _plain(text: object) -> str:
    """Without what a terminal would obey: it may quote what somebody sent."""
    return "".join(one if one.isprintable() else "�" for one in str(text or ""))
