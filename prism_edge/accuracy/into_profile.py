"""Scores become a profile's accuracy rows, of the very model that was profiled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from prism_edge import tables
from prism_edge.accuracy.evaluate import Evaluated
from prism_edge.errors import SettingsError
from prism_edge.families.checkpoint import fingerprint
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

    Plans that were evaluated before and not now keep theirs, unless those were against another
    reference: drops from two models cannot be compared.
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
        for score in each.scores
    ]
    conditions, key = dict(profile.conditions), measured_against(model, dataset)
    before = conditions.pop(key, None)
    if reference is not None:
        conditions[key] = f"{reference.resolve().name} ({fingerprint(reference)})"
    plans = {row.plan for row in rows}
    kept = [
        row
        for row in profile.accuracy
        if (row.model, row.dataset) != (model, dataset)
        or (row.plan not in plans and conditions.get(key) == before)
    ]
    return replace(profile, accuracy=(*kept, *rows), conditions=conditions)
