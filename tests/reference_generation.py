"""Writes a small random GPT-2 and what Hugging Face generates from it.

``python reference_generation.py DIR`` runs in a process of its own, so that the tests see the files
and never import transformers. It writes ``DIR/gpt2/``, ``DIR/generated.npz`` with the keys
``<case>.ids``, ``<case>.mask`` and ``<case>.tokens`` (new tokens; 0 after an answer's end), and
``DIR/warped.npz``: ``scores`` and what Hugging Face's warpers make of them.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from transformers import GPT2Config, GPT2LMHeadModel
from transformers.generation.logits_process import (
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

NEW = 12
SEED = 7
DRAWN = {"do_sample": True, "temperature": 1.5, "top_k": 40, "top_p": 0.9}


def net() -> GPT2LMHeadModel:
    torch.manual_seed(0)
    config = GPT2Config(
        n_layer=3, n_head=2, n_embd=32, n_inner=72, n_positions=40, vocab_size=300,
        bos_token_id=None, eos_token_id=None,
    )  # fmt: skip
    model = GPT2LMHeadModel(config).eval()
    with torch.no_grad():  # initialised with 0.02 attention would be nearly uniform
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.35 + (parameter.mean() > 0.9))
    return model


def generated(model: GPT2LMHeadModel) -> dict[str, torch.Tensor]:
    ids = torch.randint(1, 300, (3, 11))
    left = (torch.arange(11)[None] >= torch.tensor([0, 7, 3])[:, None]).long()
    ones = torch.ones_like(ids)

    def tokens(rows: slice, mask: torch.Tensor, **more: object) -> torch.Tensor:
        torch.manual_seed(SEED)
        options = {"max_new_tokens": NEW, "do_sample": False, "pad_token_id": 0, **more}
        out = model.generate(ids[rows], attention_mask=mask[rows], **options)
        return torch.nn.functional.pad(out[:, 11:], (0, 11 + NEW - out.shape[1]))

    one, every = slice(0, 1), slice(None)
    said = tokens(every, left)
    stop = said[2, 2]  # the third answer ends there at the latest
    return {
        "one.ids": ids[one], "one.mask": ones[one], "one.tokens": tokens(one, ones),
        "left.ids": ids, "left.mask": left, "left.tokens": said,
        "stop.ids": ids, "stop.mask": left, "stop.stop": stop,
        "stop.tokens": tokens(every, left, eos_token_id=int(stop)),
        "drawn.ids": ids, "drawn.mask": left, "drawn.tokens": tokens(every, left, **DRAWN),
    }  # fmt: skip


def warped() -> dict[str, torch.Tensor]:
    scores = torch.randn(5, 300) * 3
    scores[0, 7] = scores[0, 9] = scores[0].topk(4).values[-1]  # three in the fourth place
    arrays = {"scores": scores}
    for k in (1, 4, 300, 1000):
        arrays[f"k.{k}"] = TopKLogitsWarper(k)(None, scores)
    for p in (1e-6, 0.3, 0.95, 1.0):
        arrays[f"p.{p}"] = TopPLogitsWarper(p)(None, scores)
    hot = TemperatureLogitsWarper(1.7)(None, scores)
    arrays["all"] = TopPLogitsWarper(0.8)(None, TopKLogitsWarper(20)(None, hot))
    return arrays


def main(directory: Path) -> None:
    model = net()
    model.save_pretrained(directory / "gpt2")
    for name, arrays in {"generated": generated(model), "warped": warped()}.items():
        np.savez(directory / f"{name}.npz", **{key: value.numpy() for key, value in arrays.items()})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
