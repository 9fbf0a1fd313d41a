"""Trains the digits ViT from scratch into a Hugging Face checkpoint; a few CPU minutes.

python examples/digits/train.py --out examples/digits/checkpoint
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch
from data import SEED, SIDE, load_split
from torch.nn.functional import cross_entropy, pad
from transformers import ViTConfig, ViTForImageClassification

SHIFT = 4  # pixels of 32: one pixel of the 8x8 original
MEAN = STD = 0.5
BATCH = 64
PEAK_RATE = 2e-3


def config() -> ViTConfig:
    """64 patches and CLS, 5 blocks of width 64: long enough to cut, small enough to commit."""
    return ViTConfig(
        image_size=SIDE,
        patch_size=4,
        hidden_size=64,
        num_hidden_layers=5,
        num_attention_heads=4,
        intermediate_size=256,
        hidden_dropout_prob=0.0,
        num_labels=10,
        id2label={digit: str(digit) for digit in range(10)},
        label2id={str(digit): digit for digit in range(10)},
    )


def pixels(images: torch.Tensor) -> torch.Tensor:
    """Rescaled and normalised as preprocessor_config.json says.  [N,3,32,32] uint8 -> float32"""
    return (images.float() / 255 - MEAN) / STD


def shifted(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Every image moved by its own offset, at most SHIFT, blank outside.  [N,3,32,32] -> same"""
    padded = pad(images, (SHIFT,) * 4)
    offsets = torch.randint(0, 2 * SHIFT + 1, (len(images), 2), generator=generator).tolist()
    return torch.stack(
        [
            image[:, y : y + SIDE, x : x + SIDE]
            for image, (y, x) in zip(padded, offsets, strict=True)
        ]
    )


@torch.inference_mode()
def accuracy(model: ViTForImageClassification, images: torch.Tensor, labels: torch.Tensor) -> float:
    """Share of images whose largest logit is the label."""
    model.eval()
    return (model(pixel_values=pixels(images)).logits.argmax(-1) == labels).float().mean().item()


def train(seed: int, epochs: int) -> tuple[ViTForImageClassification, float]:
    """A trained model and its accuracy on the test split, which training never looks at."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    images, labels, test_images, test_labels = (torch.from_numpy(part) for part in load_split(seed))
    model = ViTForImageClassification(config())
    steps = epochs * (len(images) // BATCH)
    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK_RATE, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_RATE, steps, pct_start=0.1)
    started_s = time.monotonic()
    for epoch in range(1, epochs + 1):
        model.train()
        order = torch.randperm(len(images), generator=generator)
        for rows in order[: len(order) // BATCH * BATCH].split(BATCH):
            batch = pixels(shifted(images[rows], generator))
            loss = cross_entropy(
                model(pixel_values=batch).logits, labels[rows], label_smoothing=0.1
            )
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
        if epoch % 10 == 0 or epoch == epochs:
            elapsed_s = time.monotonic() - started_s
            print(f"epoch {epoch}/{epochs}  loss {loss.item():.3f}  {elapsed_s:.0f} s", flush=True)
    return model, accuracy(model, test_images, test_labels)


def save(model: ViTForImageClassification, directory: Path) -> None:
    """config.json, model.safetensors and the preprocessing that lets uint8 images be fed."""
    model.save_pretrained(directory)
    preprocessing = {
        "image_processor_type": "ViTImageProcessor",
        "do_resize": True,
        "size": {"height": SIDE, "width": SIDE},
        "resample": 2,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [MEAN] * 3,
        "image_std": [STD] * 3,
    }
    (directory / "preprocessor_config.json").write_text(json.dumps(preprocessing, indent=2) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "checkpoint")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--epochs", type=int, default=100)
    arguments = parser.parse_args()
    model, share = train(arguments.seed, arguments.epochs)
    save(model, arguments.out)
    print(f"seed {arguments.seed}: {share:.2%} of the test images are right; wrote {arguments.out}")


if __name__ == "__main__":
    main()
