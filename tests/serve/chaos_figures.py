"""What strikes under load came to, beside what is asked of it; for people, as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields

from boards_in_lab import Held
from load import REFUSAL, Load, percentile

BACK_S = 5.0


def figures(
    load: Load,
    noticed_s: Sequence[float],
    back_s: Sequence[float],
    held: Mapping[str, tuple[Held, Held]],
    notice_s: float,
) -> dict[str, object]:
    """Of one kind of strike. ``noticed_s``: from each strike to the leader's word of it, which may
    take ``notice_s``; ``back_s``: from when all was well with the board until it was in service;
    ``held``: by board, before and after."""
    counts = load.counts()
    return {
        "strikes": len(noticed_s),
        "requests": len(load.told),
        "answered": counts[200],
        "refused": {status: n for status, n in counts.items() if status == REFUSAL},
        "wrong": len(load.wrong()),
        "local": sum(told.plan == "local" for told in load.told),
        "slowest_s": round(max(told.took_s for told in load.told), 2),
        "noticed_s": spread(noticed_s),
        "noticed_in_time": max(noticed_s) <= notice_s,
        "back_s": spread(back_s),
        "back_in_time": max(back_s) <= BACK_S,
        "grown": {
            one.name: {
                name: round(getattr(after, one.name) - getattr(before, one.name), 1)
                for name, (before, after) in held.items()
            }
            for one in fields(Held)
        },
    }


def spread(values: Sequence[float]) -> dict[str, float]:
    return {"median": round(percentile(values, 0.5), 2), "worst": round(max(values), 2)}
