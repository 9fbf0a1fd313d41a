"""The conditions that every benchmark's figures are told with: the place, and the hour."""

from __future__ import annotations

import time
from collections.abc import Container, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone

from prism_edge.bench.random_models import NOTE
from prism_edge.profile.conditions import cpu_ticks, facts_of, load_average, steal
from prism_edge.profile.place import Place
from prism_edge.settings import ModelSettings, Settings

FACTS = {
    "hardware": "hardware",
    "cores": "cores_per_board",
    "kernel": "kernel",
    "python": "python",
}


def place_of(settings: Settings, place: Place) -> dict[str, object]:
    """What does not change while a benchmark runs."""
    facts = facts_of(place.hosts[0])
    return {
        "emulated": settings.kind != "boards",
        "boards": f"{len(place.hosts)} of kind {settings.kind}",
        "link": place.link,
        **{name: facts[key] for key, name in FACTS.items() if key in facts},
        "compute": "fp32 on the CPU, as many threads as a board has cores",
    }


def weights_of(models: Iterable[ModelSettings], random: Container[str]) -> dict[str, str]:
    """By model, where its weights come from."""
    return {model.name: NOTE if model.name in random else str(model.path) for model in models}


@contextmanager
def hour(conditions: dict[str, object]) -> Iterator[None]:
    """``conditions`` end with what the machine was doing while this was entered."""
    started_s, load, ticks = time.monotonic(), load_average(), cpu_ticks()
    conditions["started"] = datetime.now(timezone.utc).isoformat(timespec="seconds")
    try:
        yield
    finally:
        conditions |= {
            "seconds": round(time.monotonic() - started_s, 1),
            "load_average": f"{load} before, {load_average()} after",
            "cpu_steal": steal(ticks, cpu_ticks()),
        }
