"""An engine that says it is ready has shown it: every model has answered, in shape, with numbers.

The question goes the way of a user's: over the engine's pipes, through its queue of orders.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import numpy as np

from prism_edge.engine.client import EngineClient
from prism_edge.engine.messages import Array, Message
from prism_edge.errors import PrismError
from prism_edge.serve.datatypes import DATATYPES
from prism_edge.serve.models import Served, served_models
from prism_edge.serve.supervisor import answer

TOKENS = 8  # of a model that takes any number


async def self_test(client: EngineClient, ready: Message, timeout_s: float) -> str | None:
    """What is wrong with an engine that has just reported ``ready``; None: nothing."""
    for name, served in served_models(ready).items():
        try:
            asked = client.ask("run", example(served), model=name, plan="local")
            complaint = wrong(served, (await answer(asked, timeout_s)).arrays)
        except asyncio.TimeoutError:
            complaint = f"no answer within {timeout_s:g} s"
        except PrismError as error:
            complaint = str(error)
        if complaint is not None:
            return f"model {name}: {complaint}"
    return None


def example(served: Served) -> dict[str, Array]:
    """The smallest input that makes the model compute."""
    first = served.info.inputs[0]
    shape = [1 if size == -1 else size for size in first.shape]
    if not served.shape.fixed_tokens:
        shape = [1, min(TOKENS, served.shape.tokens)]
    return {first.name: np.zeros(shape, DATATYPES[first.datatype])}


def wrong(served: Served, outputs: Mapping[str, Array]) -> str | None:
    """What is wrong with the answer to ``example``; None: nothing."""
    for expected in served.info.outputs:
        if expected.name not in outputs:
            return f"it gave {', '.join(outputs) or 'nothing'}, and no {expected.name}"
        found = outputs[expected.name]
        shape = (1, *expected.shape[1:])
        fits = len(shape) == found.ndim and all(
            size in (-1, real) for size, real in zip(shape, found.shape, strict=True)
        )
        if not fits:
            return f"{expected.name} has shape {list(found.shape)}, expected {list(shape)}"
        if not np.isfinite(found).all():
            return f"{expected.name} holds NaN or infinite values"
    return None
