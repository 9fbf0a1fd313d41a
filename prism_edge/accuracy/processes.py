"""A plan's answers by as many processes as it has ranks, over loopback with GLOO."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

from prism_edge.accuracy.evaluate import Answer
from prism_edge.errors import ClusterError, PlanError
from prism_edge.families.model import Tensors
from prism_edge.plan import Plan
from prism_edge.profile.engines import local_hosts, start_engines
from prism_edge.settings import ModelSettings

NAME = "model"


@contextmanager
def by_processes(directory: Path, count: int, plans: Sequence[Plan]) -> Iterator[Answer]:
    """What answers under a plan; none of the ``count`` processes is left afterwards.

    Raises ``PlanError`` before anything is started when a plan has more ranks, and ``ClusterError``
    when another plan than the one asked for had to answer.
    """
    most = max(plan.p for plan in plans)
    if most > count:
        raise PlanError(f"--processes {count}: there is a plan with {most} ranks; give {most}")
    with start_engines(local_hosts(count), [ModelSettings(name=NAME, path=directory)]) as engines:
        if count > 1:
            engines.join()

        def answer(plan: Plan, inputs: Tensors) -> Tensors:
            arrays = {name: tensor.numpy() for name, tensor in inputs.items()}
            reply = engines.ask(0, "run", arrays, model=NAME, plan=str(plan))
            if reply.fields["fallback"] is not None:
                raise ClusterError(f"plan {plan}: {reply.fields['fallback']}; evaluate again")
            # a copy: what came off a pipe cannot be written to
            return {name: torch.tensor(array) for name, array in reply.arrays.items()}

        yield answer
