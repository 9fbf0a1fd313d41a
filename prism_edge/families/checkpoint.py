"""A model directory as Hugging Face writes it: config.json and weights, read without transformers.

Checkpoint keys are stable across transformers releases (attribute names are not), and reading them
directly brings an engine up seconds sooner than importing transformers would.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from prism_edge.errors import ModelError
from prism_edge.families.weights import Weights
from prism_edge.tensors.finite import finite

CPU = torch.device("cpu")
CHUNK_BYTES = 1 << 20  # of a weight file that are hashed at a time


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """``config``: config.json. ``weights``: tensors by key; asking for one reads it."""

    directory: Path
    config: dict[str, Any]
    weights: Mapping[str, Tensor]
    device: torch.device = CPU
    dtype: torch.dtype = torch.float32

    def tensor(self, key: str) -> Tensor:
        """The tensor called ``key``, where and as the model computes; ``ModelError`` names it when
        it is missing or not finite."""
        if key not in self.weights:
            raise ModelError(
                f"{self.directory}: no tensor {key!r} in the weights; is the checkpoint complete?"
            )
        tensor = self.weights[key].to(self.dtype)
        if not finite(tensor):  # 21 ms for all of ViT-B/16 on an x86 core
            raise ModelError(
                f"{self.directory}: tensor {key!r} holds NaN or infinite values in {self.dtype}; "
                f"copy or download the checkpoint again"
            )
        return tensor.to(self.device)

    def setting(self, key: str, default: Any = None) -> Any:
        """A value of config.json; without ``default`` it must be there."""
        value = self.config.get(key, default)
        if value is None:
            raise ModelError(f"{self.directory}/config.json: {key!r} is missing")
        return value

    @property
    def architecture(self) -> str:
        names = self.config.get("architectures") or ["?"]
        return str(names[0])


def read_config(directory: Path) -> dict[str, Any]:
    """config.json of a model directory; ``ModelError`` says what is wrong with it."""
    path = directory / "config.json"
    if not directory.is_dir():
        raise ModelError(f"model directory {directory} does not exist")
    if not path.is_file():
        raise ModelError(f"{directory} holds no config.json; is it a Hugging Face model directory?")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read: {error}") from error
    if not isinstance(config, dict):
        raise ModelError(f"{path} holds no JSON object")
    return config


def read_checkpoint(
    directory: Path, prefix: str, device: torch.device = CPU, dtype: torch.dtype = torch.float32
) -> Checkpoint:
    """Configuration and weights of ``directory``; keys lose ``prefix`` where they have it."""
    config = read_config(directory)
    weights = Weights(weight_files(directory), prefix)
    return Checkpoint(directory, config, weights, device, dtype)


def weight_files(directory: Path) -> list[Path]:
    """The files that hold the weights, sorted; safetensors before PyTorch's own format."""
    for pattern in ("model*.safetensors", "pytorch_model*.bin"):
        files = sorted(directory.glob(pattern))
        if files:
            return files
    raise ModelError(f"{directory} holds no weights (model.safetensors or pytorch_model.bin)")


def fingerprint(directory: Path) -> str:
    """16 hex digits that change with the configuration or any byte of a weight file.

    Cost tables know by it which model they were measured on, and boards that they compute with
    the same weights: those that differ in one layer only would answer nonsense together.
    """
    digest = hashlib.sha256(json.dumps(read_config(directory), sort_keys=True).encode())
    for path in weight_files(directory):
        digest.update(f"{path.name}:{path.stat().st_size}".encode())
        with path.open("rb") as file:
            while part := file.read(CHUNK_BYTES):
                digest.update(part)
    return digest.hexdigest()[:16]
