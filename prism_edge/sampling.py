"""How the next token is chosen, and when to stop: values only, checked before anything runs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from prism_edge.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """What a generation may do.

    ``max_new_tokens``: tokens at most. ``temperature`` 0 takes the likeliest token (greedy); above
    0 scores are divided by it and a token is drawn: of the ``top_k`` likeliest, of the fewest whose
    probabilities reach ``top_p`` together, or of all where these are None. ``seed``: the same seed
    and inputs give the same tokens. ``stop``: tokens after which an answer ends; they belong to it.
    Raises ``InputError`` that names field, value and what is allowed.
    """

    max_new_tokens: int
    temperature: float = 0.0
    top_k: int | None = None
    top_p: float | None = None
    seed: int = 0
    stop: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        _check("max_new_tokens", self.max_new_tokens, _whole(self.max_new_tokens, 1), "1 or more")
        temperature = _number(self.temperature) and 0 <= self.temperature < math.inf
        _check("temperature", self.temperature, temperature, "0 (greedy) or more")
        _check("top_k", self.top_k, self.top_k is None or _whole(self.top_k, 1), "1 or more")
        top_p = self.top_p is None or (_number(self.top_p) and 0 < self.top_p <= 1)
        _check("top_p", self.top_p, top_p, "above 0 and at most 1")
        seed = _whole(self.seed, 0) and self.seed < 1 << 63
        _check("seed", self.seed, seed, "a whole number from 0 to 2^63 - 1")
        ids = isinstance(self.stop, tuple) and all(_whole(token, 0) for token in self.stop)
        _check("stop", self.stop, ids, "any number of token ids")

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Sampling:
        """From JSON values. Raises ``InputError`` also for a name there is not, or none given."""
        known = tuple(cls.__dataclass_fields__)
        for name in fields:
            if name not in known:
                raise InputError(f"{name} is no option of a generation ({', '.join(known)})")
        if "max_new_tokens" not in fields:
            raise InputError("max_new_tokens is missing: how many tokens at most?")
        stop = fields.get("stop", ())
        return cls(**{**fields, "stop": tuple(stop) if isinstance(stop, list) else stop})

    @property
    def greedy(self) -> bool:
        return self.temperature == 0


def _check(field: str, value: object, holds: bool, allowed: str) -> None:
    if not holds:
        raise InputError(f"{field} is {value!r}, allowed is {allowed}")


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _whole(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
