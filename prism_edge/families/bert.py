"""BERT on Hugging Face checkpoints: encoder alone, and with the heads listed below.

Letters: B batch, N tokens, D width.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import embedding

from prism_edge.errors import ModelError
from prism_edge.families.checkpoint import Checkpoint
from prism_edge.families.model import Tensors, TensorSpec, activation
from prism_edge.families.text import TextModel, unpack
from prism_edge.layout import ModelShape, Needs
from prism_edge.tensors.block import Affine, Block, Norm

PREFIX = "bert."
ARCHITECTURES = (
    "BertModel",
    "BertForSequenceClassification",
    "BertForTokenClassification",
    "BertForMaskedLM",
    "BertForQuestionAnswering",
)


class Bert(TextModel):
    """A BERT; token ids travel, and padding where there is any."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        get, tensor = checkpoint.setting, checkpoint.tensor
        for option in ("is_decoder", "add_cross_attention"):
            if checkpoint.config.get(option):
                raise ModelError(f"{checkpoint.directory}: {option} is not supported")
        if get("position_embedding_type", "absolute") != "absolute":
            raise ModelError(f"{checkpoint.directory}: only absolute positions are supported")
        width, layers, eps = get("hidden_size"), get("num_hidden_layers"), get("layer_norm_eps")
        self._word = tensor("embeddings.word_embeddings.weight")
        self._position = tensor("embeddings.position_embeddings.weight")
        self._kind = tensor("embeddings.token_type_embeddings.weight")
        self._norm = _norm(checkpoint, "embeddings.LayerNorm", eps)
        self.blocks = [_block(checkpoint, layer, width, eps) for layer in range(layers)]
        self._architecture = checkpoint.architecture
        self._pooler: Affine | None = None
        self._head: Affine | None = None
        self._transform: tuple[Affine, Norm] | None = None
        needs, fixed, per_token = self._read_head(checkpoint, width, eps)
        self._activation = activation(get("hidden_act"))
        self._vocabulary = self._word.shape[0]
        self._optional = {"attention_mask": 2, "token_type_ids": self._kind.shape[0]}
        self.inputs = (
            TensorSpec("input_ids", "INT64", (-1, -1)),
            TensorSpec("attention_mask", "INT64", (-1, -1)),
            TensorSpec("token_type_ids", "INT64", (-1, -1)),
        )
        self.shape = ModelShape(
            family="bert",
            tokens=self._position.shape[0],
            fixed_tokens=False,
            width=width,
            heads=get("num_attention_heads"),
            blocks=layers,
            ffn=get("intermediate_size"),
            causal=False,
            lead=1,
            trail=1,
            class_token=True,
            needs=needs,
            token_bytes=2 if self._word.shape[0] <= 1 << 16 else 4,
            output_fixed=fixed,
            output_per_token=per_token,
        )

    def _read_head(self, checkpoint: Checkpoint, width: int, eps: float) -> tuple[Needs, int, int]:
        """Loads the head; rows it needs, and floats in its outputs: fixed and per token."""

        def affine(key: str) -> Affine:
            return Affine(checkpoint.tensor(f"{key}.weight"), checkpoint.tensor(f"{key}.bias"))

        kind = self._architecture
        if kind in ("BertModel", "BertForSequenceClassification") and (
            "pooler.dense.weight" in checkpoint.weights
        ):
            self._pooler = affine("pooler.dense")
        if kind == "BertModel":
            self.outputs = (TensorSpec("last_hidden_state", "FP32", (-1, -1, width)),)
            if self._pooler is None:
                return "all", 0, width
            self.outputs += (TensorSpec("pooler_output", "FP32", (-1, width)),)
            return "all", width, width
        if kind == "BertForMaskedLM":
            dense, norm = "cls.predictions.transform.dense", "cls.predictions.transform.LayerNorm"
            self._transform = affine(dense), _norm(checkpoint, norm, eps)
            bias = "cls.predictions.bias"
            if checkpoint.config.get("tie_word_embeddings", True):
                self._head = Affine(self._word, checkpoint.tensor(bias))
            else:
                # transformers 4 ties the two biases even here, and then writes one of them
                own_bias = "cls.predictions.decoder.bias"
                self._head = Affine(
                    checkpoint.tensor("cls.predictions.decoder.weight"),
                    checkpoint.tensor(own_bias if own_bias in checkpoint.weights else bias),
                )
        else:
            self._head = affine("qa_outputs" if kind.endswith("Answering") else "classifier")
        labels = self._head.weight.shape[0]
        if kind == "BertForSequenceClassification":
            self.outputs = (TensorSpec("logits", "FP32", (-1, labels)),)
            return "first", labels, 0
        if kind == "BertForQuestionAnswering":
            names = ("start_logits", "end_logits")
            self.outputs = tuple(TensorSpec(name, "FP32", (-1, -1)) for name in names)
        else:
            self.outputs = (TensorSpec("logits", "FP32", (-1, -1, labels)),)
        return "all", 0, labels

    def embed(self, part: Tensors, start: int, stop: int) -> Tensor:
        ids = unpack(part["input_ids"], self.device)[:, start:stop]
        x = embedding(ids, self._word) + self._position[start:stop]
        kinds = part.get("token_type_ids")
        if kinds is None:
            return self._norm(x + self._kind[0])
        return self._norm(x + embedding(unpack(kinds, self.device)[:, start:stop], self._kind))

    def head(self, rows: Tensor) -> Tensors:
        if self._architecture == "BertModel":
            outputs = {"last_hidden_state": rows}
            if self._pooler is not None:
                outputs["pooler_output"] = torch.tanh(self._pooler(rows[:, 0]))
            return outputs
        assert self._head is not None
        if self._transform is not None:
            dense, norm = self._transform
            rows = norm(self._activation(dense(rows)))
        if self._pooler is not None:
            return {"logits": self._head(torch.tanh(self._pooler(rows[:, 0])))}
        if self._architecture == "BertForQuestionAnswering":
            start, end = self._head(rows).unbind(dim=-1)
            return {"start_logits": start.contiguous(), "end_logits": end.contiguous()}
        return {"logits": self._head(rows)}


def _norm(checkpoint: Checkpoint, key: str, eps: float) -> Norm:
    return Norm(checkpoint.tensor(f"{key}.weight"), checkpoint.tensor(f"{key}.bias"), eps)


def _block(checkpoint: Checkpoint, layer: int, width: int, eps: float) -> Block:
    at = f"encoder.layer.{layer}."

    def affine(key: str) -> Affine:
        return Affine(checkpoint.tensor(f"{at}{key}.weight"), checkpoint.tensor(f"{at}{key}.bias"))

    heads = checkpoint.setting("num_attention_heads")
    return Block(
        norm1=_norm(checkpoint, f"{at}attention.output.LayerNorm", eps),
        qkv=Affine.stack([affine(f"attention.self.{name}") for name in ("query", "key", "value")]),
        out=affine("attention.output.dense"),
        norm2=_norm(checkpoint, f"{at}output.LayerNorm", eps),
        up=affine("intermediate.dense"),
        down=affine("output.dense"),
        activation=activation(checkpoint.setting("hidden_act")),
        heads=heads,
        scale=(width // heads) ** -0.5,
        pre_norm=False,
    )
