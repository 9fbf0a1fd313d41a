"""Writes a checkpoint of ViT-B/16's size; random weights: for speed only, answers mean nothing.

python examples/vit_b16/make.py DIRECTORY
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

SEED = 0
FILES = ("config.json", "model.safetensors", "preprocessor_config.json")
NOTE = "random weights: for speed only, the answers mean nothing"
PREPROCESSING = {
    "image_processor_type": "ViTImageProcessor",
    "do_resize": True,
    "size": {"height": 224, "width": 224},
    "resample": 2,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
}


def make(directory: Path) -> None:
    """`directory` holds a complete ViTForImageClassification of 86.6 M seeded parameters."""
    import torch
    from transformers import ViTConfig, ViTForImageClassification

    torch.manual_seed(SEED)
    model = ViTForImageClassification(ViTConfig(num_labels=1000))
    directory.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(directory)
    # Written last: where it is, the others are complete.
    (directory / "preprocessor_config.json").write_text(json.dumps(PREPROCESSING, indent=2) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    directory: Path = parser.parse_args().directory
    if all((directory / name).is_file() for name in FILES):
        print(f"{directory}: already there ({NOTE})")
        return
    try:
        make(directory)
    except OSError as error:
        sys.exit(f"error: {directory}: cannot write the checkpoint: {error}")
    print(f"{directory}: ViT-B/16, seed {SEED}; {NOTE}")


if __name__ == "__main__":
    main()
