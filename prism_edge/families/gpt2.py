"""GPT-2 on Hugging Face checkpoints: GPT2Model, GPT2LMHeadModel.

Letters: B batch, N tokens, D width.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import embedding

from prism_edge.errors import ModelError
from prism_edge.families.checkpoint import Checkpoint
from prism_edge.families.model import Tensors, TensorSpec, activation
from prism_edge.families.text import TextModel, unpack
from prism_edge.layout import ModelShape
from prism_edge.tensors.block import Affine, Block, Norm

PREFIX = "transformer."
ARCHITECTURES = ("GPT2Model", "GPT2LMHeadModel")


class Gpt2(TextModel):
    """A GPT-2; every rank hears earlier tokens only, as the causal mask demands."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        get, tensor = checkpoint.setting, checkpoint.tensor
        for option in ("add_cross_attention", "scale_attn_by_inverse_layer_idx"):
            if checkpoint.config.get(option):
                raise ModelError(f"{checkpoint.directory}: {option} is not supported")
        width, layers, eps = get("n_embd"), get("n_layer"), get("layer_norm_epsilon")
        self._word = tensor("wte.weight")
        self._position = tensor("wpe.weight")
        self._norm = Norm(tensor("ln_f.weight"), tensor("ln_f.bias"), eps)
        self.blocks = [_block(checkpoint, layer, width, eps) for layer in range(layers)]
        self._head: Affine | None = None
        if checkpoint.architecture == "GPT2LMHeadModel":
            tied = checkpoint.config.get("tie_word_embeddings", True)
            self._head = Affine(self._word if tied else tensor("lm_head.weight"), None)
        vocabulary = self._word.shape[0]
        name, last = ("logits", vocabulary) if self._head else ("last_hidden_state", width)
        self.outputs = (TensorSpec(name, "FP32", (-1, -1, last)),)
        self._vocabulary = self._word.shape[0]
        self._optional = {"attention_mask": 2, "position_ids": self._position.shape[0]}
        self.inputs = (
            TensorSpec("input_ids", "INT64", (-1, -1)),
            TensorSpec("attention_mask", "INT64", (-1, -1)),
            TensorSpec("position_ids", "INT64", (-1, -1)),
        )
        self.shape = ModelShape(
            family="gpt2",
            tokens=self._position.shape[0],
            fixed_tokens=False,
            width=width,
            heads=get("n_head"),
            blocks=layers,
            ffn=checkpoint.config.get("n_inner") or 4 * width,
            causal=True,
            lead=1,
            trail=0,
            class_token=False,
            needs="all",
            token_bytes=2 if vocabulary <= 1 << 16 else 4,
            output_fixed=0,
            output_per_token=last,
        )

    def embed(self, part: Tensors, start: int, stop: int) -> Tensor:
        ids = unpack(part["input_ids"], self.device)
        x = embedding(ids[:, start:stop], self._word)
        if "position_ids" in part:
            positions = unpack(part["position_ids"], self.device)
            return x + embedding(positions[:, start:stop], self._position)
        return x + self._position[start:stop]

    def head(self, rows: Tensor) -> Tensors:
        hidden = self._norm(rows)
        if self._head is None:
            return {"last_hidden_state": hidden}
        return {"logits": self._head(hidden)}


def _block(checkpoint: Checkpoint, layer: int, width: int, eps: float) -> Block:
    at = f"h.{layer}."

    def affine(key: str) -> Affine:
        # Conv1D keeps its weight [in,out]; a transposed view serves without a copy
        return Affine(
            checkpoint.tensor(f"{at}{key}.weight").t(), checkpoint.tensor(f"{at}{key}.bias")
        )

    def norm(key: str) -> Norm:
        weight, bias = checkpoint.tensor(f"{at}{key}.weight"), checkpoint.tensor(f"{at}{key}.bias")
        return Norm(weight, bias, checkpoint.setting("layer_norm_epsilon"))

    heads = checkpoint.setting("n_head")
    scaled = checkpoint.config.get("scale_attn_weights", True)
    return Block(
        norm1=norm("ln_1"),
        qkv=affine("attn.c_attn"),
        out=affine("attn.c_proj"),
        norm2=norm("ln_2"),
        up=affine("mlp.c_fc"),
        down=affine("mlp.c_proj"),
        activation=activation(checkpoint.setting("activation_function")),
        heads=heads,
        scale=(width // heads) ** -0.5 if scaled else 1.0,
        pre_norm=True,
    )
