"""What is trained is written under the keys it was read from, and transformers reads it alike."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import checkpoints
import pytest
import torch
import transformers
from nets import error
from safetensors.torch import load_file
from torch import Tensor

from prism_edge.accuracy.trainable import Trainable
from prism_edge.families import load
from prism_edge.plan import LOCAL
from prism_edge.simulate import simulate

SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
TEXT = {**SMALL, "intermediate_size": 24, "vocab_size": 50, "max_position_embeddings": 30}
VIT = {**SMALL, "intermediate_size": 24, "image_size": 32, "patch_size": 8, "num_labels": 7}
GPT2 = {"n_embd": 16, "n_layer": 2, "n_head": 2, "vocab_size": 50, "n_positions": 30}
IDS = torch.randint(0, 50, (2, 12), generator=torch.Generator().manual_seed(0))
PIXELS = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
CASES: list[tuple[str, Any, dict[str, Any], dict[str, Tensor]]] = [
    ("ViTForImageClassification", transformers.ViTConfig, VIT, {"pixel_values": PIXELS}),
    ("BertModel", transformers.BertConfig, TEXT, {"input_ids": IDS}),
    ("BertForMaskedLM", transformers.BertConfig, TEXT, {"input_ids": IDS}),
    ("BertForTokenClassification", transformers.BertConfig, TEXT, {"input_ids": IDS}),
    ("GPT2LMHeadModel", transformers.GPT2Config, GPT2, {"input_ids": IDS}),
]


def moved(trained: Trainable) -> None:
    """Every leaf is another number now, as training would have it."""
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for leaf in trained.leaves.values():
            leaf.add_(torch.randn(leaf.shape, generator=draw), alpha=0.05)


TIED = ("BertForMaskedLM", "GPT2LMHeadModel")  # as PyTorch files, which hold such weights twice


@pytest.mark.parametrize(
    ("name", "config", "sizes", "inputs", "twice"),
    [*((*case, False) for case in CASES), *((*case, True) for case in CASES if case[0] in TIED)],
)
def test_transformers_answers_as_the_trained_model_does(
    name: str,
    config: Any,
    sizes: dict[str, Any],
    inputs: dict[str, Tensor],
    twice: bool,
    tmp_path: Path,
) -> None:
    torch.manual_seed(0)
    original = getattr(transformers, name)(config(**sizes))
    original.save_pretrained(tmp_path / "from")
    keys = set(load_file(tmp_path / "from" / "model.safetensors"))
    if twice:
        (tmp_path / "from" / "model.safetensors").unlink()
        torch.save(original.state_dict(), tmp_path / "from" / "pytorch_model.bin")
        keys = set(original.state_dict())
    trained = Trainable(tmp_path / "from")
    moved(trained)
    (tmp_path / "to").mkdir()
    trained.save(tmp_path / "to")
    written = load_file(tmp_path / "to" / "model.safetensors")
    assert set(written) == keys
    theirs = getattr(transformers, name).from_pretrained(tmp_path / "to").eval()
    ours, exact = load(tmp_path / "to"), load(tmp_path / "from")
    with torch.no_grad():
        expected = theirs(**inputs)
        prepared = ours.prepare(inputs)
        for key, found in simulate(ours, LOCAL, prepared).items():
            assert error(found, expected[key]) < 1e-4
            assert torch.equal(found, simulate(trained.model(), LOCAL, prepared)[key])
            assert error(found, simulate(exact, LOCAL, prepared)[key]) > 1e-3  # it did move


def test_what_stands_beside_the_weights_comes_along(tmp_path: Path) -> None:
    config, weights = checkpoints.bert()
    weights["other.position_ids"] = torch.arange(3)  # in no family's model
    weights["embeddings.LayerNorm.gamma"] = weights.pop("embeddings.LayerNorm.weight")
    half = {k: t.half() if t.is_floating_point() else t for k, t in weights.items()}
    source = checkpoints.write(tmp_path / "from", config, half)
    (source / "vocab.txt").write_text("a\nb\n")
    (source / "1_Pooling").mkdir()
    (source / "1_Pooling" / "config.json").write_text("{}")
    (source / "notes.md").write_text("x")
    (source / "model.safetensors.index.json").write_text("{}")
    trained = Trainable(source)
    (tmp_path / "to").mkdir()
    trained.save(tmp_path / "to")
    assert {path.name for path in (tmp_path / "to").iterdir()} == {
        "config.json",
        "vocab.txt",
        "model.safetensors",
        "1_Pooling",
    }
    assert (tmp_path / "to" / "1_Pooling" / "config.json").read_text() == "{}"
    assert json.loads((tmp_path / "to" / "config.json").read_text()) == config
    written = load_file(tmp_path / "to" / "model.safetensors")
    assert {key: tensor.dtype for key, tensor in written.items()} == {
        key: tensor.dtype for key, tensor in half.items()
    }
    assert all(torch.equal(written[key], tensor) for key, tensor in half.items())
