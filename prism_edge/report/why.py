"""What the daemon's sentence ``why`` says of a batch: what it fell back from, what was expected."""

from __future__ import annotations

import re
from dataclasses import dataclass

# "PLAN failed (REASON); answered locally"
# "PLAN was lost with its engine; answered locally by the next one"
# "PLAN was asked for, but 1 board(s) are in service; answered locally"
_FELL_BACK = re.compile(r"(?P<meant>\S+) (?P<reason>.+); answered locally", re.DOTALL)
_FAILED = re.compile(r"failed \((.*)\)", re.DOTALL)
# the policy had nothing to choose by; a board that is all there is has nothing to fall back from
_NO_CHOICE = re.compile(r"local: (?!this board serves alone\Z)(?P<reason>.+)", re.DOTALL)
_PREDICTED = re.compile(r"\S+ predicted (?P<number>[0-9.]+) (?P<unit>µs|us|ms|s)\b")
_UNITS_S = {"µs": 1e-6, "us": 1e-6, "ms": 1e-3, "s": 1.0}


@dataclass(frozen=True, kw_only=True, slots=True)
class Fallback:
    """A batch that was ``meant`` for another plan than the one that ran, and the reason."""

    meant: str
    reason: str


def fallback(why: str | None) -> Fallback | None:
    """What the batch fell back from, or None when what was meant is what ran."""
    if said := _FELL_BACK.match(why or ""):
        failed = _FAILED.fullmatch(said["reason"])
        return Fallback(meant=said["meant"], reason=failed[1] if failed else said["reason"])
    if said := _NO_CHOICE.match(why or ""):
        return Fallback(meant="a choice", reason=said["reason"])
    return None


def predicted_s(why: str | None) -> float | None:
    """The latency the policy expected of the plan it took, or None when it did not say."""
    said = _PREDICTED.match(why or "")
    if said is None:
        return None
    try:
        return float(said["number"]) * _UNITS_S[said["unit"]]
    except ValueError:
        return None
