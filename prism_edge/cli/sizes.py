"""Shapes of well-known models by name, for clusters and models that are only imagined.

As on Hugging Face: google/vit-*-patch16-224 (1000 classes), bert-*-uncased (2 labels), gpt2.
"""

from __future__ import annotations

from collections.abc import Mapping

from prism_edge.layout import ModelShape


def _vit(width: int, heads: int, blocks: int) -> ModelShape:
    return ModelShape(
        family="vit",
        tokens=197,
        fixed_tokens=True,
        width=width,
        heads=heads,
        blocks=blocks,
        ffn=4 * width,
        causal=False,
        lead=1,
        trail=0,
        class_token=True,
        needs="first",
        token_bytes=768,
        output_fixed=1000,
        output_per_token=0,
    )


def _bert(width: int, heads: int, blocks: int) -> ModelShape:
    return ModelShape(
        family="bert",
        tokens=512,
        fixed_tokens=False,
        width=width,
        heads=heads,
        blocks=blocks,
        ffn=4 * width,
        causal=False,
        lead=1,
        trail=1,
        class_token=True,
        needs="first",
        token_bytes=2,
        output_fixed=2,
        output_per_token=0,
    )


def _gpt2(width: int, heads: int, blocks: int) -> ModelShape:
    return ModelShape(
        family="gpt2",
        tokens=1024,
        fixed_tokens=False,
        width=width,
        heads=heads,
        blocks=blocks,
        ffn=4 * width,
        causal=True,
        lead=1,
        trail=0,
        class_token=False,
        needs="all",
        token_bytes=2,
        output_fixed=0,
        output_per_token=50257,
    )


SIZES: Mapping[str, ModelShape] = {
    "vit-s16": _vit(384, 6, 12),
    "vit-b16": _vit(768, 12, 12),
    "vit-l16": _vit(1024, 16, 24),
    "bert-base": _bert(768, 12, 12),
    "bert-large": _bert(1024, 16, 24),
    "gpt2": _gpt2(768, 12, 12),
    "gpt2-medium": _gpt2(1024, 16, 24),
}
