"""``prism-edge plan --replay``: a journal's decisions, taken again from the same events."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from prism_edge.errors import JournalError

if TYPE_CHECKING:
    from prism_edge.schedule.replay import Difference, Life

SHOWN = 10  # differences, the first ones


def replay(journal: Path, profile: Path, as_json: bool) -> None:
    """Print every difference between what was decided and what these tables and this version do.

    Exits with 1 when a decision taken over the same tables is another one now, or cannot be
    replayed. Over other tables differences are what was asked for. Raises ``JournalError`` for a
    journal without decisions.
    """
    from prism_edge import tables
    from prism_edge.energy.journal import decisions
    from prism_edge.schedule.replay import costs_by_model
    from prism_edge.schedule.replay import replay as replayed
    from prism_edge.tables.digest import digest

    now = digest(profile)
    lives = list(replayed(decisions(journal), costs_by_model(tables.read(profile))))
    if not any(life.decisions or life.gaps for life in lives):
        raise JournalError(
            f"{journal}: holds no decision; a leader records one for every batch whose plan is not "
            "named, once cost tables apply"
        )
    if as_json:
        print(json.dumps(as_dict(lives, journal, profile, now), indent=2))
    else:
        print("\n".join(readable(lives, now)))
    if any(life.differences or life.gaps for life in lives if digest_of(life) == now):
        raise typer.Exit(1)


def digest_of(life: Life) -> str | None:
    """Of the tables that were decided by; None: the journal begins later."""
    return life.started.profile if life.started else None


def as_dict(lives: Sequence[Life], journal: Path, profile: Path, now: str) -> dict[str, object]:
    """The replay as JSON holds it; only the first differences are whole."""
    return {
        "journal": str(journal),
        "profile": str(profile),
        "digest": now,
        **totals(lives),
        "plans": plans(lives),
        "starts": [
            {
                "row": life.row,
                "time": _time(life.t_s),
                "digest": digest_of(life),
                "same_tables": digest_of(life) == now,
                **totals([life]),
                "gaps": [
                    {"row": gap.row, "reason": gap.reason, "decisions": gap.decisions}
                    for gap in life.gaps
                ],
            }
            for life in lives
        ],
        "differences": [_difference(item) for item in shown(lives, now)],
    }


def totals(lives: Iterable[Life]) -> dict[str, int]:
    """How many decisions were equal, and how many were not."""
    found = list(lives)
    decisions = sum(life.decisions for life in found)
    other_plan = sum(life.other_plan for life in found)
    other_why = sum(life.other_why for life in found)
    return {
        "decisions": decisions,
        "equal": decisions - other_plan - other_why,
        "other_plan": other_plan,
        "other_why": other_why,
        "not_replayed": sum(gap.decisions for life in found for gap in life.gaps),
    }


def plans(lives: Iterable[Life]) -> dict[str, dict[str, int]]:
    """How often each plan was taken then and now, the usual ones first."""
    then, now = Counter[str](), Counter[str]()
    for life in lives:
        then.update(life.recorded)
        now.update(life.replayed)
    order = sorted(then | now, key=lambda plan: (-then[plan], -now[plan], plan))
    return {plan: {"recorded": then[plan], "replayed": now[plan]} for plan in order}


def shown(lives: Iterable[Life], now: str) -> list[Difference]:
    """The first differences: over the same tables before others, plans before mere reasons."""
    found = [(digest_of(life) != now, item) for life in lives for item in life.differences]
    found.sort(key=lambda pair: (pair[0], not pair[1].plan_differs))
    return [item for _, item in found[:SHOWN]]


def _difference(item: Difference) -> dict[str, object]:
    return {
        "row": item.row,
        "time": _time(item.t_s),
        "model": item.asked.model,
        "batch": item.asked.batch,
        "tokens": item.asked.tokens,
        "boards": item.asked.boards,
        "link": item.link.as_dict() if item.link else None,
        "recorded": {"plan": item.recorded_plan, "why": item.recorded_why},
        "replayed": {"plan": item.replayed_plan, "why": item.replayed_why},
    }


def readable(lives: Sequence[Life], now: str) -> Iterator[str]:
    """The replay for people: the result first, then what differs, then the plans taken."""
    from prism_edge.schedule.explain import link_text

    told = [life for life in lives if life.decisions or life.gaps]
    others = sorted({digest_of(life) or now for life in told} - {now})
    ours = [life for life in told if digest_of(life) == now]
    if ours or not others:
        yield f"over the tables they were taken by ({now}): {_counted(ours)}"
    if others:
        yield (
            f"OTHER TABLES ({', '.join(others)}, not {now}), so no error, but what would have been "
            f"decided: {_counted(life for life in lives if digest_of(life) in others)}"
        )
    for life in lives:
        for gap in life.gaps:
            yield f"row {gap.row}: {gap.reason}; decisions not replayed from there: {gap.decisions}"
    differences = shown(lives, now)
    if len(differences) < sum(life.other_plan + life.other_why for life in lives):
        yield f"the first {len(differences)} differences:"
    for item in differences:
        asked = item.asked
        yield (
            f"row {item.row}, {_time(item.t_s)}: {asked.model}, batch {asked.batch}, "
            f"{asked.tokens} tokens on {', '.join(asked.boards)}; {link_text(item.link)}"
        )
        yield f"  recorded  {item.recorded_plan}: {item.recorded_why}"
        yield f"  replayed  {item.replayed_plan}: {item.replayed_why}"
    counts = plans(lives)
    width = max(map(len, counts), default=0)
    yield f"{'plan':{width}}  recorded  replayed"
    for plan, count in counts.items():
        yield f"{plan:{width}}  {count['recorded']:8}  {count['replayed']:8}"


def _counted(lives: Iterable[Life]) -> str:
    found = totals(lives)
    return (
        f"{found['decisions']} decisions replayed, {found['equal']} equal, {found['other_plan']} "
        f"with another plan, {found['other_why']} with another reason only"
    )


def _time(t_s: float) -> str:
    """To the millisecond, so that two decisions are told apart."""
    return datetime.fromtimestamp(t_s, timezone.utc).isoformat(timespec="milliseconds")
