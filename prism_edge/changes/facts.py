"""Facts that differ between two profiles: what was measured, on what, with which settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from prism_edge.tables import Profile


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """``key`` of ``where`` is ``a`` in one profile and ``b`` in the other; None: not stated."""

    where: str
    key: str
    a: str | None
    b: str | None


def differing(a: Profile, b: Profile) -> tuple[Fact, ...]:
    """Every fact that is not the same; when and for how long was measured is none."""
    told_a, told_b = _told(a, {}), _told(b, same_models(a, b))
    return tuple(
        Fact(where=where, key=key, a=told_a.get((where, key)), b=told_b.get((where, key)))
        for where, key in dict.fromkeys((*told_a, *told_b))
        if told_a.get((where, key)) != told_b.get((where, key))
    )


def load_average(profile: Profile) -> str | None:
    """Of the machine that measured, while it did; None where nobody looked."""
    names = ("load_average_median", "load_average_end")
    return next((profile.conditions[name] for name in names if name in profile.conditions), None)


def same_models(a: Profile, b: Profile) -> dict[str, str]:
    """Names in ``b`` -> names in ``a`` of models with the same weights under another name."""
    names = {model.name for model in a.models}
    by_weights = {model.fingerprint: model.name for model in a.models}
    return {
        model.name: by_weights[model.fingerprint]
        for model in b.models
        if model.name not in names and model.fingerprint in by_weights
    }


def _told(profile: Profile, renamed: Mapping[str, str]) -> Mapping[tuple[str, str], str]:
    """(where, key) -> text, the boards in the order of their ranks."""
    told = {
        ("cluster", "name"): profile.cluster,
        ("cluster", "kind"): profile.kind,
        ("cluster", "boards"): ", ".join(board.name for board in profile.boards),
        ("cluster", "link"): profile.link_description,
        ("prism-edge", "version"): profile.version,
    }
    for board in profile.boards:
        where = f"board {board.name}"
        told[where, "device"] = board.device
        told[where, "power readings"] = board.power
        told |= {(where, key): value for key, value in board.facts.items()}
    for model in profile.models:
        where = f"model {renamed.get(model.name, model.name)}"
        told |= {(where, "name"): model.name, (where, "fingerprint"): model.fingerprint}
    return told | {("sweep", key): value for key, value in profile.sweep.items()}
