"""The tensors of a checkpoint's files, each read when it is asked for.

A safetensors file is mapped for one tensor at a time, and the tensor leaves in memory of its own:
mapped for good, the parts of a stacked weight would stay in memory beside the stack (ViT-B/16: 82
of 330 MiB).
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from prism_edge.errors import ModelError


class Weights(Mapping[str, Tensor]):
    """Tensors by key, base-model prefix removed and norms called by their present names.

    Raises ``ModelError`` that names a file which cannot be read.
    """

    def __init__(self, files: Sequence[Path], prefix: str) -> None:
        self._places: dict[str, tuple[Path, str]] = {}  # where a tensor is, and its key there
        self._loaded: dict[Path, Mapping[str, Tensor]] = {}  # PyTorch's own format: all at once
        for path in files:
            for key in self._keys(path):
                name = key.removeprefix(prefix).replace("LayerNorm.gamma", "LayerNorm.weight")
                self._places[name.replace("LayerNorm.beta", "LayerNorm.bias")] = path, key

    def __getitem__(self, name: str) -> Tensor:
        path, key = self._places[name]
        if path in self._loaded:
            return self._loaded[path][key]
        try:
            with safe_open(path, "pt") as file:
                tensor: Tensor = file.get_tensor(key)
                return tensor.clone()
        except Exception as error:
            raise _unreadable(path, error) from error

    def __contains__(self, name: object) -> bool:
        return name in self._places  # without a read

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def key(self, name: str) -> str:
        """What the file calls it."""
        return self._places[name][1]

    def _keys(self, path: Path) -> Sequence[str]:
        try:
            if path.suffix == ".safetensors":
                with safe_open(path, "pt") as file:
                    return list(file.keys())
            # files from before PyTorch 1.6 are no zip archives and cannot be mapped
            mapped = zipfile.is_zipfile(path)
            loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
            self._loaded[path] = loaded
            return list(loaded)
        except Exception as error:  # safetensors and torch raise many kinds for a broken file
            raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> ModelError:
    return ModelError(f"{path} cannot be read: {error}; copy or download the checkpoint again")
