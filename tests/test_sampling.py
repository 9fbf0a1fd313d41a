"""What a generation may do is checked before it does anything."""

from __future__ import annotations

import math

import pytest

from prism_edge.errors import InputError
from prism_edge.sampling import Sampling


def test_only_a_length_must_be_given() -> None:
    plain = Sampling(max_new_tokens=5)
    assert (plain.greedy, plain.top_k, plain.top_p, plain.seed, plain.stop) == (
        True,
        None,
        None,
        0,
        (),
    )
    assert not Sampling(max_new_tokens=5, temperature=0.1).greedy


@pytest.mark.parametrize(
    "allowed",
    [
        {"max_new_tokens": 1},
        {"temperature": 0},
        {"temperature": 2.5},
        {"top_k": 1},
        {"top_p": 1},
        {"top_p": 1e-9},
        {"seed": 0},
        {"seed": 2**63 - 1},
        {"stop": (0, 50256)},
    ],
    ids=str,
)
def test_the_ends_of_every_range_are_allowed(allowed: dict[str, object]) -> None:
    Sampling(**{"max_new_tokens": 3, **allowed})


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("max_new_tokens", 0, "1 or more"),
        ("max_new_tokens", 2.0, "1 or more"),
        ("max_new_tokens", True, "1 or more"),
        ("temperature", -0.1, r"0 \(greedy\) or more"),
        ("temperature", math.inf, r"0 \(greedy\) or more"),
        ("temperature", math.nan, r"0 \(greedy\) or more"),
        ("temperature", "hot", r"0 \(greedy\) or more"),
        ("top_k", 0, "1 or more"),
        ("top_k", 1.5, "1 or more"),
        ("top_p", 0, "above 0 and at most 1"),
        ("top_p", 1.01, "above 0 and at most 1"),
        ("top_p", math.nan, "above 0 and at most 1"),
        ("seed", -1, "a whole number from 0 to 2"),
        ("seed", 2**63, "a whole number from 0 to 2"),
        ("seed", None, "a whole number from 0 to 2"),
        ("stop", (3, -1), "any number of token ids"),
        ("stop", [3], "any number of token ids"),
        ("stop", 3, "any number of token ids"),
    ],
)
def test_what_is_not_allowed_is_named(field: str, value: object, allowed: str) -> None:
    with pytest.raises(InputError, match=rf"^{field} is .*, allowed is {allowed}"):
        Sampling(**{"max_new_tokens": 3, field: value})


def test_it_is_read_from_json_values() -> None:
    fields = {"max_new_tokens": 4, "temperature": 0.5, "stop": [3, 5]}
    assert Sampling.of(fields) == Sampling(max_new_tokens=4, temperature=0.5, stop=(3, 5))
    with pytest.raises(InputError, match=r"^topk is no option of a generation .*top_k"):
        Sampling.of({"max_new_tokens": 4, "topk": 3})
    with pytest.raises(InputError, match=r"^max_new_tokens is missing"):
        Sampling.of({"stop": [3]})
    with pytest.raises(InputError, match=r"^stop is 7, allowed is any number of token ids"):
        Sampling.of({"max_new_tokens": 4, "stop": 7})
