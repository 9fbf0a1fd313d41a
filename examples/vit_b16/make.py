"""Writes a checkpoint of ViT-B/16's size; random weights: for speed only, answers mean nothing.

python examples/vit_b16/make.py DIRECTORY
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from prism_edge.bench.random_models import LAST, NOTE, SEED, write

FILES = ("config.json", "model.safetensors", LAST)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    directory: Path = parser.parse_args().directory
    if all((directory / name).is_file() for name in FILES):
        print(f"{directory}: already there ({NOTE})")
        return
    try:
        write("vit-b16", directory)
    except OSError as error:
        sys.exit(f"error: {directory}: cannot write the checkpoint: {error}")
    print(f"{directory}: ViT-B/16, seed {SEED}; {NOTE}")


if __name__ == "__main__":
    main()
