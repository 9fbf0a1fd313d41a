"""Interleaved rounds on running engines: in each, everything is timed once, in random order.

A worker in a group takes no orders but memory, so the bounds of a round are measured together,
before or after the requests. The first round is not counted: it warms everything up, and the
answers of Hugging Face and of our local plan are compared in it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from prism_edge.bench.compare import Cell, Sample, Task
from prism_edge.bench.reference import Reference
from prism_edge.engine.messages import Array, Message
from prism_edge.errors import ClusterError, ModelError
from prism_edge.plan import Plan
from prism_edge.profile.engines import Engines, LoadedModel

DIFFERENCE = 1e-3  # of two fp32 answers, relative to the largest value; seen: 1e-5 and less
WORDS = 32  # ids below this are words of every vocabulary
ANSWER_S = 1200.0

Arrays = Mapping[str, Array]


@dataclass(slots=True)
class Group:
    """Engines that are in a group or not, as the next order needs it."""

    engines: Engines
    joined: bool = False

    def be(self, joined: bool) -> None:
        if joined != self.joined and len(self.engines.hosts) > 1:
            (self.engines.join if joined else self.engines.leave)()
        self.joined = joined


def tasks_of(plans: Sequence[Plan], *, floats: bool) -> list[Task]:
    """What a round consists of; ``floats``: requests are raw bytes, Hugging Face takes floats."""
    own = [Task(kind="floats")] if floats else []
    bounds = [Task(kind="bound", plan=plan) for plan in plans if plan.p > 1]
    requests = [Task(kind="plan", plan=plan) for plan in plans]
    return [Task(kind="hugging-face"), *own, *requests, *bounds]


def order_of(tasks: Sequence[Task], source: random.Random) -> list[Task]:
    """The tasks of one round shuffled, the bounds side by side."""
    halves = [
        [task for task in tasks if (task.kind == "bound") == bound] for bound in (False, True)
    ]
    source.shuffle(halves)
    return [task for half in halves for task in source.sample(half, len(half))]


def measure_cell(
    group: Group,
    reference: Reference,
    cell: Cell,
    plans: Sequence[Plan],
    *,
    rounds: int,
    seed: int,
) -> Iterator[Sample]:
    """Every task ``rounds`` times; samples of the warm-up have turn -1.

    Raises ``ClusterError`` when a board is lost, ``ModelError`` when Hugging Face answers something
    else than local does.
    """
    source, model = random.Random(f"{seed}/{cell}"), group.engines.models[0]
    raw, given = inputs(model, cell.batch, cell.tokens, seed)
    tasks = tasks_of(plans, floats=model.shape.fixed_tokens)
    same = Task(kind="floats") if model.shape.fixed_tokens else Task(kind="plan")
    for turn in range(-1, rounds):
        answers: dict[Task, Arrays] = {}
        for task in order_of(tasks, source):
            distributed = any(plan.p > 1 for plan in plans)
            group.be(joined=distributed and task.kind != "bound")
            asks: list[Callable[..., Message]] = [reference.ask]
            if task.kind != "hugging-face":
                asks = [partial(group.engines.ask, rank) for rank in range(task.plan.p)]
            counted = [ask("memory", reset=True).fields["counted"] for ask in asks]
            if task.kind == "hugging-face":
                prefill = cell.work == "prefill"
                said = reference.ask("run", given, outputs=turn < 0, prefill=prefill)
                seconds = said.fields["seconds"]
            elif task.kind == "bound":
                seconds = bound(group.engines, cell, task.plan)
            else:
                said = _run(group.engines, cell, task.plan, raw if task.kind == "plan" else given)
                seconds = said.fields["engine_s"]
            if turn < 0 and task in (same, Task(kind="hugging-face")):
                answers[task] = answer_of(said)
            peaks = [ask("memory", reset=False).fields["peak_bytes"] for ask in asks]
            yield Sample(
                task=task,
                turn=turn,
                seconds=seconds,
                peak_bytes=tuple(peaks) if all(counted) else None,
            )
        if turn < 0:
            require_same(cell.model, answers[same], answers[Task(kind="hugging-face")])


def bound(engines: Engines, cell: Cell, plan: Plan) -> float:
    """Seconds of the slowest rank's part of a request; all ranks compute at once, none waits.

    A worker's order takes one pass more, which makes its messages; so the leader's second pass is
    the one that runs beside a worker's first.
    """
    ranks = []
    for rank in range(plan.p):
        orders = [
            engines.submit(
                rank,
                "measure",
                model=cell.model,
                plan=str(part),
                rank=rank,
                batch=count,
                tokens=cell.tokens,
                repeats=2 if rank == 0 else 1,
                prefill=cell.work == "prefill",
            )
            for part, count in plan.parts(cell.batch)
        ]
        ranks.append(orders)
    seconds = [[o.result(ANSWER_S).fields["seconds"][-1] for o in orders] for orders in ranks]
    return max(float(sum(parts)) for parts in seconds)


def inputs(model: LoadedModel, batch: int, tokens: int, seed: int) -> tuple[Arrays, Arrays]:
    """What a request carries, and what Hugging Face is given; for texts they are the same.

    Images: raw bytes, and the floats that a preprocessor with mean and spread 0.5 makes of them.
    Texts: ids alone, without a mask, which is what Hugging Face answers fastest.
    """
    source = np.random.default_rng(seed)
    name, _, shape = model.inputs[0]
    if not model.shape.fixed_tokens:
        ids = {name: source.integers(0, WORDS, (batch, tokens), dtype=np.int64)}
        return ids, ids
    pixels = source.integers(0, 256, (batch, *shape[1:]), dtype=np.uint8)
    return {name: pixels}, {name: pixels.astype(np.float32) / 127.5 - 1}


def answer_of(said: Message) -> Arrays:
    """What was answered: outputs, or the first word of each continued text."""
    tokens = said.fields.get("tokens")
    return said.arrays if tokens is None else {"tokens": np.array(tokens)}


def require_same(model: str, ours: Arrays, theirs: Arrays) -> None:
    """Two speeds are compared only where the answers are the same. Raises ``ModelError``."""
    for name, mine in ours.items():
        if name not in theirs:
            raise ModelError(f"model {model}: Hugging Face has no output {name!r} to compare with")
        largest = max(float(np.abs(theirs[name]).max()), 1e-6)
        difference = float(np.abs(mine - theirs[name]).max()) / largest
        if not difference <= DIFFERENCE:
            raise ModelError(
                f"model {model}: {name} differs from Hugging Face's by {difference:.1e} of its "
                f"largest value (allowed is {DIFFERENCE:.0e}); speeds of different answers are "
                f"not compared"
            )


def _run(engines: Engines, cell: Cell, plan: Plan, arrays: Arrays) -> Message:
    order, more = "run", {}
    if cell.work == "prefill":
        order, more = "generate", {"sampling": {"max_new_tokens": 1}}
    said = engines.ask(
        0, order, arrays, timeout_s=ANSWER_S, model=cell.model, plan=str(plan), **more
    )
    if said.fields["fallback"] is not None:
        raise ClusterError(f"{cell.model} {plan} batch {cell.batch}: {said.fields['fallback']}")
    return said
