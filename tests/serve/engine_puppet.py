"""An engine without torch: speaks the engine's language, and does what its input's values say.

``python engine_puppet.py DIRECTORY``: orders are noted in DIRECTORY/orders; DIRECTORY/died is there
after ``DIE_ONCE``. The model is called m, takes x [-1,2] and answers y = 2 x. Where
DIRECTORY/writes exists there is also w, which goes on from a prompt by counting up.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np

from prism_edge.engine.messages import Array, Message, read_message, write_message

DIE_ONCE, DIE_ALWAYS, SILENT, INVALID, BUG, FREEZE_ONCE, LOSE_PEER = (
    1000.0 * k for k in range(1, 8)
)
LOSS = "rank 0: lost rank 1: Connection closed by peer [10.0.0.2]:4711"
FINGERPRINT = "f" * 16
SHAPE: dict[str, Any] = {
    "family": "vit",
    "tokens": 8,
    "fixed_tokens": True,
    "width": 4,
    "heads": 2,
    "blocks": 2,
    "ffn": 8,
    "causal": False,
    "lead": 1,
    "trail": 0,
    "class_token": True,
    "needs": "first",
    "token_bytes": 4,
    "output_fixed": 2,
    "output_per_token": 0,
}
MODEL: dict[str, Any] = {
    "name": "m",
    "fingerprint": FINGERPRINT,
    "shape": SHAPE,
    "inputs": [["x", "FP32", [-1, 2]]],
    "outputs": [["y", "FP32", [-1, 2]]],
}
WRITER: dict[str, Any] = {
    **MODEL,
    "name": "w",
    "shape": {**SHAPE, "family": "gpt2", "tokens": 50, "fixed_tokens": False, "causal": True},
    "inputs": [["input_ids", "INT64", [-1, -1]]],
    "outputs": [["logits", "FP32", [-1, -1, 100]]],
}
# what the first number of a prompt asks for: to die once or always after its second token, or to
# say nothing more there until it is cancelled, or even then
WRITE_DIE_ONCE, WRITE_DIE_ALWAYS, WRITE_SILENT, WRITE_DEAF, WRITE_INVALID = range(1, 6)
READY: dict[str, Any] = {
    "models": [MODEL],
    "store_port": 4242,
    "gloo": True,
    "torch": "none",
    "device": "cpu",
    "dtype": "fp32",
    "staging": {"rule": None, "why": None, "paths": {"copy": None}},
}


def argv(directory: Path) -> list[str]:
    return [sys.executable, str(Path(__file__).resolve()), str(directory)]


def orders(directory: Path) -> list[tuple[str, dict[str, object]]]:
    """Every order so far, to any start of the engine."""
    path = directory / "orders"
    lines = path.read_text().splitlines() if path.exists() else []
    return [(kind, fields) for kind, fields in map(json.loads, lines)]


def main(directory: Path) -> None:
    def say(kind: str, arrays: dict[str, Array] | None = None, **fields: Any) -> None:
        write_message(sys.stdout.buffer, Message(kind, fields, arrays or {}))

    if (directory / "refuse").exists():
        say("failed", message=(directory / "refuse").read_text())
        sys.exit(1)
    writes = (directory / "writes").exists()
    say("ready", **{**READY, "models": [MODEL, *([WRITER] if writes else [])]})
    silent: dict[Any, Any] = {}
    while (order := read_message(sys.stdin.buffer)) is not None and order.kind != "stop":
        fields = dict(order.fields)
        if order.kind == "ping":
            say("pong", id=fields["id"])
            continue
        with (directory / "orders").open("a") as file:
            file.write(json.dumps([order.kind, fields]) + "\n")
        if order.kind == "join" and not (directory / "clumsy").exists():
            say("joined", epoch=fields["epoch"], rank=fields["rank"], size=fields["size"])
        elif order.kind == "join":
            say("left", epoch=fields["epoch"], reason="it fell off its chair")
        elif order.kind == "leave":
            say("left", epoch=fields["epoch"], reason="asked to leave")
        elif order.kind == "run":
            run(directory, fields, order.arrays["x"], say)
        elif order.kind == "generate":
            write(directory, fields, order.arrays["input_ids"][0].tolist(), say)
            if order.arrays["input_ids"][0, 0] == WRITE_SILENT:
                silent[fields["key"]] = fields["id"]
        elif order.kind == "cancel" and (number := silent.pop(fields["key"], None)):
            say("result", id=number, **told([None], "local"))


def run(directory: Path, fields: dict[str, object], x: Array, say: object) -> None:
    assert callable(say)
    wish, died = float(x.max()), directory / "died"
    first = not died.exists()
    if wish in (DIE_ONCE, FREEZE_ONCE):
        died.touch()
    if wish == DIE_ALWAYS or (wish == DIE_ONCE and first):
        os.kill(os.getpid(), signal.SIGKILL)
    if wish == FREEZE_ONCE and first:
        os.kill(os.getpid(), signal.SIGSTOP)
    if wish == SILENT:
        return
    if wish in (INVALID, BUG):
        error = "InputError" if wish == INVALID else "RuntimeError"
        say("error", id=fields["id"], error=error, message=f"x: {wish:g} is not for me")
        return
    lost = wish == LOSE_PEER
    say(
        "result",
        {"y": np.asarray(2 * x, dtype=np.float32)},
        id=fields["id"],
        plan="local" if lost else fields["plan"],
        fallback=LOSS if lost else None,
        wire_bytes=0,
        engine_s=0.001,
        spans=[["compute", 0.0, 0.001, 0]],
    )


def write(directory: Path, fields: dict[str, Any], ids: list[int], say: Any) -> None:
    wish, died, sampling = ids[0], directory / "died", fields["sampling"]
    if wish == WRITE_INVALID:
        say("error", id=fields["id"], error="InputError", message="input_ids: not for me")
        return
    for count in range(1, sampling["max_new_tokens"] + 1):
        last = count == sampling["max_new_tokens"]
        ended = ["length" if last else None]
        say("token", id=fields["id"], ids=[ids[-1] + count], ended=ended)
        if count == 2 and wish in (WRITE_SILENT, WRITE_DEAF):
            return
        first = not died.exists()
        if count == 2 and (wish == WRITE_DIE_ALWAYS or (wish == WRITE_DIE_ONCE and first)):
            died.touch()
            os.kill(os.getpid(), signal.SIGKILL)
    say("result", id=fields["id"], **told(["length"], fields["plan"]))


def told(ended: list[str | None], plan: str) -> dict[str, Any]:
    spans = [["prefill", 0.0, 0.001, 0], ["decode", 0.001, 0.002, 0]]
    return {"ended": ended, "plan": plan, "fallback": None, "wire_bytes": 5, "spans": spans}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
