"""Scores become a profile's accuracy rows, of the very model that was profiled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from prism_edge import tables
from prism_edge.accuracy.evaluate import Evaluated
from prism_edge.errors import SettingsError
from prism_edge.families.checkpoint import fingerprint
from prism_edge.schedule.accuracy import DROP
from prism_edge.tables import AccuracyRow, Profile
from prism_edge.tables.rows import measured_against


def profile_of(directory: Path, model: str, weights: Path) -> Profile:
    """The profile, which has that model with those weights. Raises ``SettingsError``."""
    found = tables.read(directory)
    known = {entry.name: entry.fingerprint for entry in found.models}
    if model not in known:
        raise SettingsError(
            f"{directory} holds {', '.join(known) or 'no model'}, not {model}; "
            "--name says which one it is"
        )
    if known[model] != (now := fingerprint(weights)):
        raise SettingsError(
            f"{directory}: {model} was profiled with other weights than those of {weights} (then "
            f"{known[model]:.12}, now {now:.12}), so that these scores say nothing about it; "
            f"profile this one: prism-edge profile --model {model}={weights}"
        )
    return found


def with_scores(
    profile: Profile, model: str, dataset: str, found: Sequence[Evaluated], reference: Path | None
) -> Profile:
    """The profile with these scores of a model on a data set in the place of earlier ones.

    Plans that were evaluated before and not now keep theirs, if those say the drop itself (others
    are held against ``local``'s, which are of other samples now) and against the same reference:
    drops from two models cannot be compared. A plan with a score that is no number gets none.
    """
    rows = [
        AccuracyRow(
            model=model,
            plan=str(each.plan),
            dataset=dataset,
            metric=score.metric,
            value=score.value,
            n=score.n,
            ci_low=score.low,
            ci_high=score.high,
        )
        for each in found
        if each.finite
        for score in each.scores
    ]
    conditions, key = dict(profile.conditions), measured_against(model, dataset)
    before = conditions.pop(key, None)
    if reference is not None:
        conditions[key] = f"{reference.resolve().name} ({fingerprint(reference)})"
    here, now = (model, dataset), {str(each.plan) for each in found}
    stay: set[str] = set()
    if conditions.get(key) == before:
        drops = [row for row in profile.accuracy if row.metric == DROP]
        stay = {row.plan for row in drops if (row.model, row.dataset) == here} - now
    kept = [row for row in profile.accuracy if (row.model, row.dataset) != here or row.plan in stay]
    return replace(profile, accuracy=(*kept, *rows), conditions=conditions)
