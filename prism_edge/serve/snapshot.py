"""All that the live page shows, as one object: what the daemon says of itself, and its history."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal

import prism_edge
from prism_edge.serve.history import History
from prism_edge.serve.lifecycle import SILENCE_S
from prism_edge.serve.service import ModelInfo, Readiness, Service, TensorInfo

Standing = Literal["in service", "starting", "joining", "lost", "not seen", "out"]
LOST = ("silent",)  # a complaint that begins so is about a board that nobody hears


def snapshots(
    service: Service,
    history: History,
    *,
    cluster: str,
    board: str | None = None,
    release: str | None = None,
) -> Callable[[], dict[str, object]]:
    """A function that says how things are when it is called."""
    return lambda: snapshot(
        cluster=cluster,
        readiness=service.readiness(),
        models=service.models(),
        status={**service.status(), "board": board, "release": release},
        history=history.view(time.monotonic()),
    )


def snapshot(
    *,
    cluster: str,
    readiness: Readiness,
    models: Sequence[ModelInfo],
    status: Mapping[str, object],
    history: Mapping[str, object],
) -> dict[str, object]:
    """The page's next state; only values that JSON can carry."""
    events = _mappings(history.get("events"))
    return {
        "version": prism_edge.__version__,
        "cluster": cluster,
        "state": _state(readiness),
        "reason": readiness.reason,
        **{
            name: status.get(name)
            for name in ("board", "role", "kind", "leader", "leader_url", "epoch", "release")
        },
        **{name: status.get(name) for name in ("link", "queue", "busy")},
        "boards": [
            standing(board, place == 0, readiness, events)
            for place, board in enumerate(_mappings(status.get("boards")))
        ],
        "models": [
            {
                "name": model.name,
                "ready": model.ready,
                "reason": model.reason,
                "inputs": [_tensor(tensor) for tensor in model.inputs],
                "outputs": [_tensor(tensor) for tensor in model.outputs],
            }
            for model in models
        ],
        **history,
    }


def standing(
    board: Mapping[str, object],
    leads: bool,
    readiness: Readiness,
    events: Iterable[Mapping[str, object]],
) -> dict[str, object]:
    """How one board of ``status`` stands, in a word, and why; ``events`` newest first."""
    name, complaint = str(board.get("name")), board.get("why_out")
    silent_s: object = None
    why: object = None
    state: Standing
    if leads:
        state = "in service" if readiness.ready else "starting"
        why = None if readiness.ready else readiness.reason
    elif board.get("in_group"):
        state = "in service"
    elif complaint is None:
        state = "joining"
    elif not str(complaint).startswith(LOST):
        state, why = "out", complaint
    elif board.get("silent_s") is None:
        state, why = "not seen", "it has not said hello since this daemon started"
    elif float(str(board["silent_s"])) < SILENCE_S:  # the group was just given up
        state = "joining"
    else:
        state, silent_s, why = "lost", board["silent_s"], _why_lost(name, events)
    return {
        "name": name,
        "address": board.get("address"),
        "leads": leads,
        "state": state,
        "why": why,
        "silent_s": silent_s,
    }


def _why_lost(name: str, events: Iterable[Mapping[str, object]]) -> str | None:
    """What was said when the board was last lost; None when it was just silent."""
    word = re.compile(rf"(?<![\w-]){re.escape(name)}(?![\w-])")
    for event in events:
        if event["kind"] == "lost" and word.search(str(event["detail"])):
            why = str(event["detail"]).removeprefix("closing: ").removeprefix(f"board {name}: ")
            return None if why.startswith(LOST) else why
    return None


def _state(readiness: Readiness) -> str:
    if not readiness.ready:
        return "not ready"
    return "degraded" if readiness.reason else "ready"


def _mappings(value: object) -> list[Mapping[str, object]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def _tensor(tensor: TensorInfo) -> str:
    return f"{tensor.name} {tensor.datatype} [{', '.join(map(str, tensor.shape))}]"
