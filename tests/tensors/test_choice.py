"""Tokens are chosen as Hugging Face chooses them, and as often as their probabilities say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from nets import noise
from torch import Tensor

from prism_edge.sampling import Sampling
from prism_edge.tensors.choice import candidates, likeliest, next_token, nucleus

DRAWS = 20_000


@pytest.fixture(scope="module")
def warped(generated: Path) -> dict[str, Tensor]:
    with np.load(generated / "warped.npz") as arrays:
        return {key: torch.from_numpy(arrays[key]) for key in arrays.files}


def drawing(**options: object) -> Sampling:
    return Sampling(**{"max_new_tokens": 1, "temperature": 1.0, **options})


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("k", [1, 4, 300, 1000])
def test_the_likeliest_are_hugging_faces_ties_included(warped: dict[str, Tensor], k: int) -> None:
    assert torch.equal(likeliest(warped["scores"], k), warped[f"k.{k}"])
    if k < 300:
        assert not torch.equal(likeliest(warped["scores"], k + 1), warped[f"k.{k}"])


@pytest.mark.parametrize("p", [1e-6, 0.3, 0.95, 1.0])
def test_the_nucleus_is_hugging_faces_and_never_empty(warped: dict[str, Tensor], p: float) -> None:
    found = nucleus(warped["scores"], p)
    assert torch.equal(found, warped[f"p.{p}"])
    assert (found.isfinite().sum(dim=-1) >= 1).all()
    assert not torch.equal(nucleus(warped["scores"], 0.5), warped[f"p.{p}"])


def test_temperature_comes_first_then_k_then_p(warped: dict[str, Tensor]) -> None:
    scores, expected = warped["scores"], warped["all"]
    found = candidates(scores, drawing(temperature=1.7, top_k=20, top_p=0.8))
    assert torch.equal(found, expected)
    assert not torch.equal(likeliest(nucleus(scores / 1.7, 0.8), 20), expected)
    assert not torch.equal(nucleus(likeliest(scores, 20), 0.8) / 1.7, expected)


def test_greedy_takes_the_likeliest_and_leaves_the_generator_alone() -> None:
    logits, generator = noise(5, 300), source()
    before = generator.get_state()
    found = next_token(logits, Sampling(max_new_tokens=1), generator)
    assert torch.equal(found, logits.argmax(dim=-1))
    assert torch.equal(generator.get_state(), before)
    next_token(logits, drawing(), generator)
    assert not torch.equal(generator.get_state(), before)


def test_tokens_come_as_often_as_their_probabilities_say() -> None:
    logits = torch.tensor([2.0, 1.0, 0.0, -1.0, -2.0])

    def frequencies(sampling: Sampling) -> Tensor:
        drawn = next_token(logits.expand(DRAWS, -1), sampling, source())
        return drawn.bincount(minlength=5) / DRAWS

    assert torch.allclose(frequencies(drawing()), logits.softmax(-1), atol=0.015)
    flat = (logits / 3).softmax(-1)
    assert torch.allclose(frequencies(drawing(temperature=3.0)), flat, atol=0.015)
    assert not torch.allclose(frequencies(drawing()), flat, atol=0.1)
    assert frequencies(drawing(top_k=2))[2:].sum() == 0
    assert frequencies(drawing(top_p=0.5)).tolist() == [1, 0, 0, 0, 0]


def test_a_seed_gives_the_same_tokens_again() -> None:
    logits = noise(8, 300)
    first = next_token(logits, drawing(), source(5))
    assert torch.equal(next_token(logits, drawing(), source(5)), first)
    assert not torch.equal(next_token(logits, drawing(), source(6)), first)


def test_half_precision_scores_are_weighed_in_fp32() -> None:
    logits = noise(4, 300).half()
    assert candidates(logits, drawing(top_p=0.9)).dtype == torch.float32
    found = next_token(logits, drawing(top_p=0.9), source(5))
    assert torch.equal(found, next_token(logits.float(), drawing(top_p=0.9), source(5)))
