"""Real engines that answer any plan on demand, and what each answer cost in modelled energy.

Energy is the lab's own model of a board's power, ``IDLE_W`` + ``BUSY_W`` x utilisation, integrated
over the request: the utilisation is the CPU time that the engines' processes used meanwhile, to the
nanosecond. Nothing is sampled and nothing is measured in watts.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from prism_edge.bench.rounds import ANSWER_S, Arrays, inputs
from prism_edge.cluster.tegrastats import BUSY_W, IDLE_W
from prism_edge.errors import ClusterError
from prism_edge.layout import ModelShape
from prism_edge.plan import Plan
from prism_edge.profile.engines import Engines, LoadedModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What an engine said about one answer, and the joules of all boards meanwhile."""

    engine_s: float
    spans: tuple[tuple[str, float, float, int], ...]
    efforts: tuple[tuple[float, float] | None, ...]
    energy_j: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """A probe: seconds of its exchanges, seconds it took altogether, joules on top of idling."""

    seconds: tuple[float, ...]
    took_s: float
    energy_j: float


class Arena:
    """Engines in a group. ``tokens``: by model, the length of its requests."""

    def __init__(self, engines: Engines, tokens: Mapping[str, int], seed: int) -> None:
        self._engines = engines
        self._models = {model.name: model for model in engines.models}
        self._tokens = tokens
        self._seed = seed
        self._inputs: dict[tuple[str, int], Arrays] = {}
        self._pids = [client.process.pid for client in engines.clients]

    @property
    def boards(self) -> int:
        return len(self._pids)

    def shape(self, model: str) -> ModelShape:
        return self._models[model].shape

    def tokens(self, model: str) -> int:
        return self._tokens[model]

    def run(self, model: str, batch: int, plan: Plan) -> Reply:
        """The answer to a batch. Raises ``ClusterError`` when another plan had to give it."""
        key = model, batch
        if key not in self._inputs:
            self._inputs[key] = inputs(self._models[model], batch, self._tokens[model], self._seed)[
                0
            ]
        before_s = self._busy_s()
        said = self._engines.ask(
            0, "run", self._inputs[key], timeout_s=ANSWER_S, model=model, plan=str(plan)
        )
        busy_s, fields = self._busy_s() - before_s, said.fields
        if fields["fallback"] is not None:
            raise ClusterError(f"{model} {plan} batch {batch}: {fields['fallback']}")
        engine_s = float(fields["engine_s"])
        return Reply(
            engine_s=engine_s,
            spans=tuple((name, at, took, size) for name, at, took, size in fields["spans"]),
            efforts=tuple(_effort(item) for item in fields.get("efforts", ())),
            energy_j=self.idle_j(engine_s) + BUSY_W * busy_s,
        )

    def probe(self, size: int) -> Exchange:
        """One exchange of ``size`` bytes each way with the first worker, as the daemon does it."""
        before_s, start_s = self._busy_s(), time.monotonic()
        said = self._engines.ask(
            0, "probe", timeout_s=ANSWER_S, rank=1, operation="exchange", bytes=size, repeats=1
        )
        return Exchange(
            seconds=tuple(said.fields["seconds"]),
            took_s=time.monotonic() - start_s,
            energy_j=BUSY_W * (self._busy_s() - before_s),
        )

    def idle_j(self, seconds: float) -> float:
        """Joules of all boards doing nothing."""
        return IDLE_W * self.boards * seconds

    def _busy_s(self) -> float:
        return sum(map(cpu_s, self._pids))


def cpu_s(pid: int) -> float:
    """CPU time that a running process has used, all its threads: clock_getcpuclockid(3)."""
    return time.clock_gettime((~pid << 3) | 2)


def tokens_of(model: LoadedModel, usual: int) -> int:
    """The only length of an image model, the usual one of a text model where it has room."""
    shape = model.shape
    return shape.tokens if shape.fixed_tokens else min(usual, shape.tokens)


def _effort(item: Any) -> tuple[float, float] | None:
    return None if item is None else (float(item[0]), float(item[1]))
