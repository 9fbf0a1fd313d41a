"""The digits as files that evaluate, finetune and codebook read.

python examples/digits/arrays.py --out digits

``train.npz``: the 1437 training images and ``--copies`` of each, moved by up to 4 pixels as in
training; ``test.npz``: the 360 test images.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from data import SEED, load_split
from train import shifted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--copies", type=int, default=7)
    asked = parser.parse_args()
    images, labels, test, test_labels = load_split(SEED)
    generator = torch.Generator().manual_seed(SEED)
    moved = [shifted(torch.from_numpy(images), generator).numpy() for _ in range(asked.copies)]
    asked.out.mkdir(parents=True, exist_ok=True)
    np.savez(
        asked.out / "train.npz",
        pixel_values=np.concatenate([images, *moved]),
        labels=np.tile(labels, 1 + asked.copies),
    )
    np.savez(asked.out / "test.npz", pixel_values=test, labels=test_labels)


if __name__ == "__main__":
    main()
