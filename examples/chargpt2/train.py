"""Trains a small GPT-2 on characters into a Hugging Face checkpoint; some CPU minutes.

python examples/chargpt2/train.py --text text --out chargpt2
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
from sources import CHARACTERS, tokenizer
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import GPT2Config, GPT2LMHeadModel

SEED = 0
CONTEXT = 256
BATCH = 8
PEAK_RATE = 2e-3
WARM_UP = 0.05  # of the steps


def config() -> GPT2Config:
    """6 blocks of width 192 with 6 heads, 2.7 million parameters."""
    return GPT2Config(
        vocab_size=len(CHARACTERS),
        n_positions=CONTEXT,
        n_embd=192,
        n_layer=6,
        n_head=6,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=None,
        eos_token_id=None,
    )


def encoded(path: Path) -> Tensor:
    """The text's tokens.  -> [characters]"""
    return torch.tensor(tokenizer().encode(path.read_text(encoding="utf-8")).ids)


def train(ids: Tensor, steps: int, seed: int) -> GPT2LMHeadModel:
    """A model trained on windows drawn from anywhere in the text.  [characters]"""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    model = GPT2LMHeadModel(config())
    optimizer = torch.optim.AdamW(
        model.parameters(), PEAK_RATE, betas=(0.9, 0.95), weight_decay=0.1
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, PEAK_RATE, steps, pct_start=WARM_UP, cycle_momentum=False
    )
    started_s, cpu_s, losses = time.monotonic(), time.process_time(), []
    for step in range(1, steps + 1):
        starts = torch.randint(len(ids) - CONTEXT, (BATCH, 1), generator=generator)
        batch = ids[starts + torch.arange(CONTEXT)]
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(input_ids=batch).logits
        loss = cross_entropy(logits[:, :-1].flatten(0, 1).float(), batch[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
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
    parser.add_argument("--steps", type=int, default=2500)
    parser.add_argument("--seed", type=int, default=SEED)
    asked = parser.parse_args()
    model = train(encoded(asked.text / "train.txt"), asked.steps, asked.seed)
    model.save_pretrained(asked.out)
    tokenizer().save(str(asked.out / "tokenizer.json"))
    print(f"wrote {asked.out}")


if __name__ == "__main__":
    main()
