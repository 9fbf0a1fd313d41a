"""A checkpoint whose tensors are leaves: what is trained has the keys of the file it is written to.

A family asks its checkpoint for tensors by key and stacks or transposes them. Given leaves, it
builds the same blocks as views of them, and gradients arrive under the keys. So no family needs a
way back, and what no family asks for stays as it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from prism_edge.families import build, read
from prism_edge.families.checkpoint import Checkpoint
from prism_edge.families.model import Model
from prism_edge.families.weights import Weights
from prism_edge.families.whole_file import write

WEIGHTS = "model.safetensors"
# what a model directory holds besides weights: settings, tokenizer, vocabulary
COPIED = (".json", ".txt", ".model", ".jinja")
MODULES = "[0-9]_*/*"  # what sentence-transformers does after the model
INDEX = ".index.json"  # of weights in several files; here they are in one


class Leaves(Mapping[str, Tensor]):
    """The tensors of a checkpoint by key, each a leaf from the first time that it is asked for."""

    def __init__(self, source: Checkpoint) -> None:
        self._source = source
        self.made: dict[str, Tensor] = {}

    def __getitem__(self, name: str) -> Tensor:
        if name not in self.made:
            self.made[name] = self._source.tensor(name).clone().requires_grad_()
        return self.made[name]

    def __contains__(self, name: object) -> bool:
        return name in self._source.weights

    def __iter__(self) -> Iterator[str]:
        return iter(self._source.weights)

    def __len__(self) -> int:
        return len(self._source.weights)


class Trainable:
    """A model directory in training. ``exact``: its model as it is on disk; ``leaves``: what is
    trained, by key without the family's prefix."""

    def __init__(self, directory: Path, device: str = "cpu") -> None:
        source = read(directory, device)
        assert isinstance(source.weights, Weights)
        self._source, self._files = source, source.weights
        self.exact = build(source)
        leaves = Leaves(source)
        self._checkpoint = replace(source, weights=leaves)
        self.leaves = leaves.made
        self.model()  # now all that the family reads are leaves

    def model(self) -> Model:
        """The model of the leaves as they are now; its answers lead back to them, once."""
        made = build(self._checkpoint)
        made.share_codebooks(self.exact)
        return made

    def save(self, directory: Path) -> None:
        """``directory`` is a model directory like the one that was read, with the leaves as they
        are now; the weights are replaced at once or not at all."""
        source = self._source.directory
        beside = [path for path in source.iterdir() if path.suffix in COPIED]
        for path in sorted([*beside, *source.glob(MODULES)]):
            if path.is_file() and not path.name.endswith(INDEX):
                copy = directory / path.relative_to(source)
                copy.parent.mkdir(exist_ok=True)
                write(copy, path.read_bytes())
        metadata = {"format": "pt"}  # transformers asks for it
        write(directory / WEIGHTS, save(dict(self._tensors()), metadata))

    def _tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Every tensor of the checkpoint, in its own dtype, under the key it came with."""
        for name, before in self._files.items():
            leaf = self.leaves.get(name)
            if leaf is None:
                leaf = self._twin(before)
            now = before if leaf is None else leaf.detach().to("cpu", before.dtype)
            yield self._files.key(name), now.contiguous().clone()

    def _twin(self, before: Tensor) -> Tensor | None:
        """The leaf that was the same tensor: tied weights are in some files twice."""
        for name, leaf in self.leaves.items():
            if leaf.shape == before.shape and torch.equal(self._files[name], before):
                return leaf
        return None
