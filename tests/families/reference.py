"""Writes small random Hugging Face checkpoints and what Hugging Face answers for them.

``python reference.py DIR`` runs in a process of its own, so that the tests see the files and never
import transformers: the same script then serves the oldest and the newest release. Per model it
writes ``DIR/<model>/`` and, per kind of input, ``DIR/<model>/<inputs>.npz`` with the keys
``in.<argument>``, ``out.<output>`` and ``real`` (positions whose outputs mean something).
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
import transformers

# Hugging Face initialises with 0.02 and biases with 0: attention is then nearly uniform and a wrong
# answer is right to 1e-4. These nets attend sharply and every parameter matters.
SPREAD = 0.35
SIZES = {"num_hidden_layers": 4, "num_attention_heads": 2, "hidden_size": 32}
# transformers 4.46 ignores this setting in its fused attention, so the reference spells it out
UNSCALED = {"scale_attn_weights": False, "attn_implementation": "eager"}


def vit_config(**more: object) -> transformers.ViTConfig:
    return transformers.ViTConfig(
        **SIZES, intermediate_size=72, image_size=40, patch_size=8, layer_norm_eps=1e-3, **more
    )


def bert_config(**more: object) -> transformers.BertConfig:
    return transformers.BertConfig(
        **SIZES, intermediate_size=72, vocab_size=100, max_position_embeddings=40, **more
    )


def gpt2_config(**more: object) -> transformers.GPT2Config:
    sizes = {"n_layer": 4, "n_head": 2, "n_embd": 32, "n_inner": 72, "n_positions": 40}
    return transformers.GPT2Config(**{**sizes, "vocab_size": 300, **more})


def models() -> dict[str, torch.nn.Module]:
    t = transformers
    return {
        "vit": t.ViTForImageClassification(vit_config(num_labels=7)),
        "vit-bare": t.ViTModel(vit_config(qkv_bias=False)),
        "vit-bare-flat": t.ViTModel(vit_config(), add_pooling_layer=False),
        "bert": t.BertForSequenceClassification(bert_config(num_labels=5)),
        "bert-bare": t.BertModel(bert_config()),
        "bert-masked": t.BertForMaskedLM(bert_config(hidden_act="gelu_new")),
        "bert-untied": t.BertForMaskedLM(bert_config(tie_word_embeddings=False)),
        "bert-tokens": t.BertForTokenClassification(bert_config(num_labels=5)),
        "bert-answers": t.BertForQuestionAnswering(bert_config()),
        "gpt2": t.GPT2LMHeadModel(gpt2_config()),
        "gpt2-bare": t.GPT2Model(gpt2_config(n_inner=None, **UNSCALED)),
        # more words than 16 bits can count, and an output layer of its own
        "gpt2-wide": t.GPT2LMHeadModel(gpt2_config(vocab_size=66000, tie_word_embeddings=False)),
    }


def inputs(name: str) -> dict[str, dict[str, np.ndarray]]:
    """Kinds of input of a model, each as arrays by argument."""
    random = np.random.default_rng(0)
    if name.startswith("vit"):
        pixels = random.integers(0, 256, (3, 3, 40, 40), dtype=np.uint8)
        return {
            "normalised": {"pixel_values": normalise(pixels)},
            "bytes": {"pixel_values": pixels},
        }
    words = {"gpt2-wide": 66000, "gpt2": 300, "gpt2-bare": 300}.get(name, 100)
    ids = random.integers(0, words, (3, 21))
    right = np.ones_like(ids)
    right[1, 13:] = 0
    if name.startswith("bert"):
        right[2, 1:] = 0  # one token alone
        kinds = (np.arange(21) > 8).astype(np.int64) * np.ones_like(ids)
        padded = {"input_ids": ids, "attention_mask": right, "token_type_ids": kinds}
        return {"plain": {"input_ids": ids}, "right": padded}
    if name == "gpt2-wide":
        return {"plain": {"input_ids": ids}}
    right[2, 4:] = 0
    left = np.ascontiguousarray(right[:, ::-1])
    return {
        "plain": {"input_ids": ids},
        "right": {"input_ids": ids, "attention_mask": right},
        "left": {"input_ids": ids, "attention_mask": left},
        "positions": {
            "input_ids": ids,
            "attention_mask": left,
            "position_ids": np.maximum(left.cumsum(axis=1) - 1, 0),
        },
    }


def processor() -> transformers.ViTImageProcessor:
    """Normalisation that differs per channel, so that swapped channels would show."""
    return transformers.ViTImageProcessor(
        do_resize=False, image_mean=[0.48, 0.45, 0.4], image_std=[0.2, 0.25, 0.3]
    )


def normalise(pixels: np.ndarray) -> np.ndarray:
    """uint8 [B,C,S,S] as Hugging Face's image processor normalises it."""
    images = list(pixels.transpose(0, 2, 3, 1))
    return np.asarray(processor()(images=images, return_tensors="np")["pixel_values"])


@torch.no_grad()
def randomise(model: torch.nn.Module) -> None:
    """Every parameter random: biases and norms too, which are born as zeros and ones."""
    for name, parameter in model.named_parameters():
        norm = "norm" in name.lower() or "ln_" in name
        centre = 1.0 if norm and name.endswith("weight") else 0.0
        parameter.normal_(centre, 0.2 if norm or name.endswith("bias") else SPREAD)


@torch.no_grad()
def write(root: Path) -> None:
    for name, model in models().items():
        randomise(model.eval())
        model.save_pretrained(root / name)
        if name.startswith("vit"):
            processor().save_pretrained(root / name)
        for kind, arrays in inputs(name).items():
            fed = dict(arrays)
            if kind == "bytes":
                fed["pixel_values"] = normalise(fed["pixel_values"])
            answer = model(**{key: torch.from_numpy(array) for key, array in fed.items()})
            saved = {f"in.{key}": array for key, array in arrays.items()}
            saved |= {f"out.{k}": v.numpy() for k, v in answer.items() if torch.is_tensor(v)}
            # behind a causal mask a pad that follows nothing sees nothing: frameworks differ there
            mask = arrays.get("attention_mask") if name.startswith("gpt2") else None
            np.savez(
                root / name / f"{kind}.npz", **saved, **({} if mask is None else {"real": mask})
            )


if __name__ == "__main__":
    torch.manual_seed(0)
    torch.set_num_threads(1)
    write(Path(sys.argv[1]))
    print(transformers.__version__)
