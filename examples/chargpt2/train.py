"""Trains a small GPT-2 on characters into a Hugging Face checkpoint; some CPU minutes.

python examples/chargpt2/train.py --text text --out chargpt2
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from pathlib import Path

import torch
from sources import CHARACTERS, tokenizer
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.optim.lr_scheduler import LambdaLR
from transformers import GPT2Config, GPT2LMHeadModel

SEED = 0
CONTEXT = 256
BATCH = 8
MATRIX_RATE, OTHER_RATE = 0.02, 3e-3  # at their peaks
WARM_UP = 0.05  # of the steps


def config() -> GPT2Config:
    """6 blocks of width 128 with 4 heads, 1.2 million parameters."""
    return GPT2Config(
        vocab_size=len(CHARACTERS),
        n_positions=CONTEXT,
        n_embd=128,
        n_layer=6,
        n_head=4,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=None,
        eos_token_id=None,
    )


def encoded(path: Path) -> Tensor:
    """The text's tokens.  -> [characters]"""
    return torch.tensor(tokenizer().encode(path.read_text(encoding="utf-8")).ids)


def pace(steps: int, step: int) -> float:
    """The share of the peak rates at a step: up, then down, both evenly."""
    return min((step + 1) / (WARM_UP * steps), (steps - step) / ((1 - WARM_UP) * steps))


def train(ids: Tensor, steps: int, seed: int) -> GPT2LMHeadModel:
    """A model trained on windows drawn from anywhere in the text.  [characters]"""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    model = GPT2LMHeadModel(config())
    blocks = [weight for weight in model.transformer.h.parameters() if weight.dim() == 2]
    inside = {id(weight) for weight in blocks}
    others = [weight for weight in model.parameters() if id(weight) not in inside]
    optimizers = [
        torch.optim.Muon(blocks, MATRIX_RATE, weight_decay=0.0),
        torch.optim.AdamW(others, OTHER_RATE, betas=(0.9, 0.95), weight_decay=0.0),
    ]
    schedules = [LambdaLR(each, partial(pace, steps)) for each in optimizers]
    started_s, cpu_s, losses = time.monotonic(), time.process_time(), []
    for step in range(1, steps + 1):
        starts = torch.randint(len(ids) - CONTEXT, (BATCH, 1), generator=generator)
        batch = ids[starts + torch.arange(CONTEXT)]
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(input_ids=batch).logits
        loss = cross_entropy(logits[:, :-1].flatten(0, 1).float(), batch[:, 1:].flatten())
        model.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for each in (*optimizers, *schedules):
            each.step()
        losses.append(loss.item())
        if step % 100 == 0 or step == steps:
            print(
                f"step {step}/{steps}  loss {sum(losses) / len(losses):.4f}  "
                f"{time.monotonic() - started_s:.0f} s, {time.process_time() - cpu_s:.0f} s of CPU",
                flush=True,
            )
            losses.clear()
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--text", type=Path, required=True, help="what sources.py wrote")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=SEED)
    asked = parser.parse_args()
    model = train(encoded(asked.text / "train.txt"), asked.steps, asked.seed)
    model.save_pretrained(asked.out)
    tokenizer().save(str(asked.out / "tokenizer.json"))
    print(f"wrote {asked.out}")


if __name__ == "__main__":
    main()
