"""Checkpoints of any geometry as Hugging Face would write them, with no need of transformers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from prism_edge.families.checkpoint import Checkpoint

Config = dict[str, Any]
Weights = dict[str, Tensor]
Fill = Callable[..., Tensor]


def random_fill(seed: int = 0) -> Fill:
    """Normal values of spread 0.3, the same in every run."""
    source = torch.Generator().manual_seed(seed)
    return lambda *shape: torch.randn(*shape, generator=source) * 0.3


def vit(
    architecture: str = "ViTForImageClassification", fill: Fill | None = None, **changes: Any
) -> tuple[Config, Weights]:
    """A small ViT with 4 x 4 patches; ``changes`` go to its config.json."""
    config: Config = {
        "model_type": "vit",
        "architectures": [architecture],
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 24,
        "layer_norm_eps": 1e-6,
        "hidden_act": "gelu",
        "image_size": 32,
        "patch_size": 8,
        "num_channels": 3,
        **changes,
    }
    fill = fill or random_fill()
    d, side = config["hidden_size"], config["patch_size"]
    prefix = "vit." if architecture.startswith("ViTFor") else ""
    at = f"{prefix}embeddings."
    weights = {
        f"{at}cls_token": fill(1, 1, d),
        f"{at}position_embeddings": fill(1, 1 + (config["image_size"] // side) ** 2, d),
        f"{at}patch_embeddings.projection.weight": fill(d, config["num_channels"], side, side),
        f"{at}patch_embeddings.projection.bias": fill(d),
        **norm(f"{prefix}layernorm", d, fill),
    }
    for layer in range(config["num_hidden_layers"]):
        at = f"{prefix}encoder.layer.{layer}."
        for name in ("query", "key", "value"):
            weights |= affine(f"{at}attention.attention.{name}", d, d, fill)
        weights |= affine(f"{at}attention.output.dense", d, d, fill)
        weights |= affine(f"{at}intermediate.dense", config["intermediate_size"], d, fill)
        weights |= affine(f"{at}output.dense", d, config["intermediate_size"], fill)
        weights |= norm(f"{at}layernorm_before", d, fill) | norm(f"{at}layernorm_after", d, fill)
    if architecture == "ViTForImageClassification":
        weights |= affine("classifier", 7, d, fill)
    else:
        weights |= affine("pooler.dense", d, d, fill)
    return config, weights


def bert(
    architecture: str = "BertModel", fill: Fill | None = None, **changes: Any
) -> tuple[Config, Weights]:
    """A small BERT of 50 words; ``changes`` go to its config.json."""
    config: Config = {
        "model_type": "bert",
        "architectures": [architecture],
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 24,
        "layer_norm_eps": 1e-12,
        "hidden_act": "gelu",
        "vocab_size": 50,
        "max_position_embeddings": 30,
        **changes,
    }
    fill = fill or random_fill()
    d = config["hidden_size"]
    prefix = "" if architecture == "BertModel" else "bert."
    at = f"{prefix}embeddings."
    weights = {
        f"{at}word_embeddings.weight": fill(config["vocab_size"], d),
        f"{at}position_embeddings.weight": fill(config["max_position_embeddings"], d),
        f"{at}token_type_embeddings.weight": fill(2, d),
        **norm(f"{at}LayerNorm", d, fill),
    }
    for layer in range(config["num_hidden_layers"]):
        at = f"{prefix}encoder.layer.{layer}."
        for name in ("query", "key", "value"):
            weights |= affine(f"{at}attention.self.{name}", d, d, fill)
        weights |= affine(f"{at}attention.output.dense", d, d, fill)
        weights |= norm(f"{at}attention.output.LayerNorm", d, fill)
        weights |= affine(f"{at}intermediate.dense", config["intermediate_size"], d, fill)
        weights |= affine(f"{at}output.dense", d, config["intermediate_size"], fill)
        weights |= norm(f"{at}output.LayerNorm", d, fill)
    if architecture in ("BertModel", "BertForSequenceClassification"):
        weights |= affine(f"{prefix}pooler.dense", d, d, fill)
    if architecture == "BertForSequenceClassification":
        weights |= affine("classifier", 5, d, fill)
    return config, weights


def gpt2(
    architecture: str = "GPT2LMHeadModel", fill: Fill | None = None, **changes: Any
) -> tuple[Config, Weights]:
    """A small GPT-2 of 50 words; ``changes`` go to its config.json."""
    config: Config = {
        "model_type": "gpt2",
        "architectures": [architecture],
        "n_embd": 16,
        "n_layer": 2,
        "n_head": 2,
        "n_inner": 24,
        "layer_norm_epsilon": 1e-5,
        "activation_function": "gelu_new",
        "vocab_size": 50,
        "n_positions": 30,
        **changes,
    }
    fill = fill or random_fill()
    d, ffn = config["n_embd"], config["n_inner"]
    prefix = "transformer." if architecture == "GPT2LMHeadModel" else ""
    weights = {
        f"{prefix}wte.weight": fill(config["vocab_size"], d),
        f"{prefix}wpe.weight": fill(config["n_positions"], d),
        **norm(f"{prefix}ln_f", d, fill),
    }
    for layer in range(config["n_layer"]):
        at = f"{prefix}h.{layer}."
        # Conv1D: [in, out], where Linear is [out, in]
        weights |= affine(f"{at}attn.c_attn", d, 3 * d, fill, bias=3 * d)
        weights |= affine(f"{at}attn.c_proj", d, d, fill)
        weights |= affine(f"{at}mlp.c_fc", d, ffn, fill, bias=ffn)
        weights |= affine(f"{at}mlp.c_proj", ffn, d, fill, bias=d)
        weights |= norm(f"{at}ln_1", d, fill) | norm(f"{at}ln_2", d, fill)
    return config, weights


def affine(key: str, rows: int, columns: int, fill: Fill, bias: int | None = None) -> Weights:
    return {f"{key}.weight": fill(rows, columns), f"{key}.bias": fill(bias or rows)}


def norm(key: str, width: int, fill: Fill) -> Weights:
    return {f"{key}.weight": 1 + fill(width), f"{key}.bias": fill(width)}


def in_memory(config: Config, weights: Weights, prefix: str) -> Checkpoint:
    """What ``read_checkpoint`` makes of them."""
    named = {key.removeprefix(prefix): tensor for key, tensor in weights.items()}
    return Checkpoint(directory=Path("memory"), config=config, weights=named)


def write(directory: Path, config: Mapping[str, Any], weights: Weights) -> Path:
    """A model directory with one safetensors file."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.json").write_text(json.dumps(config))
    save_file(weights, directory / "model.safetensors")
    return directory
