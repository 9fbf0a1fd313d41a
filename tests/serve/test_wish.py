"""What a client may wish, and how it is told what it may not."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from prism_edge.errors import InputError
from prism_edge.sampling import Sampling
from prism_edge.serve.wish import wish_of


def test_without_wishes_the_protocols_defaults_hold() -> None:
    found = wish_of({"seed": None}, end=7)
    assert found.sampling == Sampling(max_new_tokens=20, stop=(7,))
    assert (found.stops, found.plan) == ((), None)
    assert wish_of({}, end=None).sampling.stop == ()


def test_wishes_are_taken() -> None:
    options = {"temperature": 0.7, "top_k": 5, "top_p": 0.9, "seed": 3}
    found = wish_of({**options, "max_tokens": 4, "stop": ["a", "b"], "plan": "local"}, end=None)
    assert found.sampling == Sampling(max_new_tokens=4, **options)  # type: ignore[arg-type]
    assert (found.stops, found.plan) == (("a", "b"), "local")
    assert wish_of({"stop": "."}, end=None).stops == (".",)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"max_token": 3}, "parameter 'max_token' is not known here; there are max_tokens"),
        ({"best_of": 3}, "not known"),
        ({"max_tokens": 0}, "max_tokens is 0, allowed is 1 or more"),
        ({"max_tokens": 3.5}, "max_tokens is 3.5"),
        ({"max_tokens": True}, "max_tokens is True"),
        ({"temperature": -1}, "temperature is -1"),
        ({"temperature": "hot"}, "temperature is 'hot'"),
        ({"top_k": 0}, "top_k is 0"),
        ({"top_p": 2}, "top_p is 2"),
        ({"seed": 1.5}, "seed is 1.5"),
        ({"plan": 3}, "plan is 3"),
        ({"stop": [""]}, "stop is"),
        ({"stop": ["a"] * 6}, "up to 5 texts"),
        ({"stop": [3]}, "stop is"),
        ({"stop": {"a": 1}}, "stop is"),
        ({"stop": "a" * 201}, "1 to 200 characters"),
    ],
)
def test_what_may_not_be_wished_is_named(parameters: Mapping[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        wish_of(parameters, end=None)
