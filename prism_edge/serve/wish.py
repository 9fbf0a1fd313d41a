"""What a client may wish of an answer to its text: names and values of ``parameters``, checked.

Names are those of the Open Inference Protocol's text generation (generate_rest.yaml); pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from reprlib import repr as shown

from prism_edge.errors import InputError
from prism_edge.sampling import Sampling

MAX_TOKENS = 20  # where the client does not say; the protocol's default
MOST_STOPS = 5  # the protocol's bound
LONGEST_STOP = 200
NAMES = ("max_tokens", "temperature", "top_k", "top_p", "seed", "stop", "plan")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """How to choose tokens, which texts end the answer, and a plan by name."""

    sampling: Sampling
    stops: tuple[str, ...]
    plan: str | None


def wish_of(parameters: Mapping[str, object], end: int | None) -> Wish:
    """The wish in a request's parameters; ``end``: the model's token for the end of a text.

    Raises ``InputError`` that names parameter, value and what is allowed.
    """
    given = {name: value for name, value in parameters.items() if value is not None}
    unknown = sorted(set(given) - set(NAMES))
    if unknown:
        raise InputError(
            f"parameter {shown(unknown[0])} is not known here; there are {', '.join(NAMES)}"
        )
    plan = given.pop("plan", None)
    if plan is not None and not isinstance(plan, str):
        raise InputError(f"parameter plan is {shown(plan)}, allowed is the name of a plan")
    stops = _stops(given.pop("stop", ()))
    tokens = given.pop("max_tokens", MAX_TOKENS)
    if type(tokens) is not int or tokens < 1:
        raise InputError(f"parameter max_tokens is {shown(tokens)}, allowed is 1 or more")
    fields = {**given, "max_new_tokens": tokens, "stop": () if end is None else (end,)}
    return Wish(sampling=Sampling.of(fields), stops=stops, plan=plan)


def _stops(value: object) -> tuple[str, ...]:
    """One text or a list of them."""
    stops = (value,) if isinstance(value, str) else value
    if (
        not isinstance(stops, (list, tuple))
        or len(stops) > MOST_STOPS
        or not all(isinstance(stop, str) and 0 < len(stop) <= LONGEST_STOP for stop in stops)
    ):
        raise InputError(
            f"parameter stop is {shown(value)}, allowed are up to {MOST_STOPS} texts of 1 to "
            f"{LONGEST_STOP} characters"
        )
    return tuple(stops)
