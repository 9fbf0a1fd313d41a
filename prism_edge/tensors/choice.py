"""The next token from the scores of all tokens: the likeliest one, or drawn from the likelier ones.

Temperature, then top-k, then top-p, each as Hugging Face defines it. Letters: B batch, V tokens.
"""

from __future__ import annotations

import torch
from torch import Tensor

from prism_edge.sampling import Sampling

LEFT_OUT = float("-inf")


def next_token(logits: Tensor, sampling: Sampling, generator: torch.Generator) -> Tensor:
    """One token a row; ``generator`` advances by one draw per row, unless greedy.  [B,V] -> [B]"""
    if sampling.greedy:
        return logits.argmax(dim=-1)
    probability = candidates(logits, sampling).softmax(dim=-1)
    return torch.multinomial(probability, 1, generator=generator)[:, 0]


def candidates(logits: Tensor, sampling: Sampling) -> Tensor:
    """Scores to draw from, in fp32, -inf where a token is left out.  [B,V] -> [B,V]"""
    scores = logits.float() / sampling.temperature
    if sampling.top_k is not None:
        scores = likeliest(scores, sampling.top_k)
    if sampling.top_p is not None:
        scores = nucleus(scores, sampling.top_p)
    return scores


def likeliest(scores: Tensor, k: int) -> Tensor:
    """The ``k`` highest scores, and what ties with the lowest of them.  [B,V] -> [B,V]"""
    lowest = scores.topk(min(k, scores.shape[-1]), dim=-1).values[:, -1:]
    return scores.masked_fill(scores < lowest, LEFT_OUT)


def nucleus(scores: Tensor, p: float) -> Tensor:
    """The fewest highest scores whose probabilities reach ``p``, one at least.  [B,V] -> [B,V]"""
    ascending, order = scores.sort(dim=-1)
    left_out = ascending.softmax(dim=-1).cumsum(dim=-1) <= 1 - p
    left_out[:, -1] = False
    return scores.masked_fill(left_out.scatter(1, order, left_out), LEFT_OUT)
