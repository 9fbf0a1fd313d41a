"""Vision Transformer on Hugging Face checkpoints: ViTModel, ViTForImageClassification.

Attention does not see the order of patches, as their positions are embedded. So ranks own them, and
take means of them, along a curve on which neighbours are near each other in the picture too.
Letters: B batch, C channels, S patch side, N = 1 + patches, D width.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import linear

from prism_edge.errors import InputError, ModelError
from prism_edge.families.checkpoint import Checkpoint
from prism_edge.families.curve import along_curve
from prism_edge.families.model import Model, Tensors, TensorSpec, activation
from prism_edge.layout import ModelShape
from prism_edge.tensors.block import Affine, Block, Norm
from prism_edge.tensors.finite import finite

PREFIX = "vit."
ARCHITECTURES = ("ViTModel", "ViTForImageClassification")


class Vit(Model):
    """A ViT; pixels travel as patches, as uint8 when they were given as uint8."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        get, tensor = checkpoint.setting, checkpoint.tensor
        width, layers, side = get("hidden_size"), get("num_hidden_layers"), get("patch_size")
        channels, image = get("num_channels", 3), get("image_size")
        if not isinstance(side, int) or not isinstance(image, int):
            raise ModelError(
                f"{checkpoint.directory}: only square images and patches are supported"
            )
        self._side, self._image, self._channels = side, image, channels
        patches = (image // side) ** 2
        self._order = along_curve(image // side)
        self._weight = tensor("embeddings.patch_embeddings.projection.weight").flatten(1)
        self._bias = tensor("embeddings.patch_embeddings.projection.bias")
        tokens = [0, *(1 + patch for patch in self._order)]
        self._back = torch.tensor(tokens, device=self._weight.device).argsort()
        self._class_token = tensor("embeddings.cls_token")
        self._position = tensor("embeddings.position_embeddings")[:, tokens]
        eps = get("layer_norm_eps")
        self._norm = Norm(tensor("layernorm.weight"), tensor("layernorm.bias"), eps)
        scale, shift = _normalisation(
            checkpoint, channels
        )  # in fp32 until the pixels are of size 1
        self._scale, self._shift = scale.to(checkpoint.device), shift.to(checkpoint.device)
        self.blocks = [_block(checkpoint, layer, width, eps) for layer in range(layers)]
        self._classify = checkpoint.architecture == "ViTForImageClassification"
        self._pool = activation(get("pooler_act", "tanh"))
        self._pooler: Affine | None = None
        self._classifier: Affine | None = None
        fixed = 0  # floats in one sample's outputs besides the hidden states
        if self._classify:
            self._classifier = Affine(tensor("classifier.weight"), tensor("classifier.bias"))
            fixed = self._classifier.weight.shape[0]
            self.outputs = (TensorSpec("logits", "FP32", (-1, fixed)),)
        else:
            self.outputs = (TensorSpec("last_hidden_state", "FP32", (-1, patches + 1, width)),)
            if "pooler.dense.weight" in checkpoint.weights:
                self._pooler = Affine(tensor("pooler.dense.weight"), tensor("pooler.dense.bias"))
                fixed = self._pooler.weight.shape[0]
                self.outputs += (TensorSpec("pooler_output", "FP32", (-1, fixed)),)
        self.inputs = (TensorSpec("pixel_values", "FP32", (-1, channels, image, image)),)
        self.shape = ModelShape(
            family="vit",
            tokens=patches + 1,
            fixed_tokens=True,
            width=width,
            heads=get("num_attention_heads"),
            blocks=layers,
            ffn=get("intermediate_size"),
            causal=False,
            lead=1,
            trail=0,
            class_token=True,
            needs="first" if self._classify else "all",
            token_bytes=channels * side * side,
            output_fixed=fixed,
            output_per_token=0 if self._classify else width,
        )

    def prepare(self, inputs: Mapping[str, Tensor]) -> Tensors:
        pixels = inputs.get("pixel_values")
        if pixels is None or len(inputs) != 1:
            raise InputError(f"inputs are {sorted(inputs)}, this model takes ['pixel_values']")
        expected = (self._channels, self._image, self._image)
        if pixels.dim() != 4 or tuple(pixels.shape[1:]) != expected or pixels.shape[0] == 0:
            raise InputError(
                f"pixel_values has shape {list(pixels.shape)}, expected is [batch, "
                f"{', '.join(map(str, expected))}] with a batch of at least 1"
            )
        if pixels.dtype != torch.uint8:
            if not pixels.is_floating_point():
                raise InputError(
                    f"pixel_values has dtype {str(pixels.dtype).removeprefix('torch.')}, expected "
                    f"is uint8 (raw pixels) or floating point (normalised)"
                )
            pixels = pixels.float()
            if not finite(pixels):
                raise InputError("pixel_values holds NaN or infinite values")
        side, grid = self._side, self._image // self._side
        tiles = pixels.view(-1, self._channels, grid, side, grid, side).permute(0, 2, 4, 1, 3, 5)
        # one behind the other along the curve  -> [B,N-1,C*S*S]
        return {"patches": tiles.reshape(pixels.shape[0], grid * grid, -1)[:, self._order]}

    def part(self, prepared: Tensors, start: int, stop: int) -> Tensors:
        return {"patches": prepared["patches"][:, max(start - 1, 0) : stop - 1]}

    def embed(self, part: Tensors, start: int, stop: int) -> Tensor:
        patches = part["patches"].to(self._weight.device)
        if patches.dtype == torch.uint8:
            pixels = patches.view(*patches.shape[:2], self._channels, self._side**2)
            pixels = pixels.to(self._scale.dtype)
            patches = torch.addcmul(self._shift, pixels, self._scale).flatten(2)
        x = linear(patches.to(self._weight.dtype), self._weight, self._bias)
        if start == 0:
            x = torch.cat([self._class_token.expand(x.shape[0], -1, -1), x], dim=1)
        return x + self._position[:, start:stop]

    def head(self, rows: Tensor) -> Tensors:
        hidden = self._norm(rows)
        if self._classifier is not None:
            return {"logits": self._classifier(hidden[:, 0])}
        outputs = {"last_hidden_state": hidden[:, self._back]}
        if self._pooler is not None:
            outputs["pooler_output"] = self._pool(self._pooler(hidden[:, 0]))
        return outputs


def _block(checkpoint: Checkpoint, layer: int, width: int, eps: float) -> Block:
    at = f"encoder.layer.{layer}."

    def affine(key: str) -> Affine:
        bias = f"{at}{key}.bias"
        known = bias in checkpoint.weights
        return Affine(
            checkpoint.tensor(f"{at}{key}.weight"), checkpoint.tensor(bias) if known else None
        )

    def norm(key: str) -> Norm:
        weight, bias = checkpoint.tensor(f"{at}{key}.weight"), checkpoint.tensor(f"{at}{key}.bias")
        return Norm(weight, bias, eps)

    heads = checkpoint.setting("num_attention_heads")
    return Block(
        norm1=norm("layernorm_before"),
        qkv=Affine.stack(
            [affine(f"attention.attention.{name}") for name in ("query", "key", "value")]
        ),
        out=affine("attention.output.dense"),
        norm2=norm("layernorm_after"),
        up=affine("intermediate.dense"),
        down=affine("output.dense"),
        activation=activation(checkpoint.setting("hidden_act")),
        heads=heads,
        scale=(width // heads) ** -0.5,
        pre_norm=True,
    )


def _normalisation(checkpoint: Checkpoint, channels: int) -> tuple[Tensor, Tensor]:
    """uint8 pixels become pixels * scale + shift, by preprocessor_config.json.  2 x [C,1]"""
    path = checkpoint.directory / "preprocessor_config.json"
    settings = {}
    if path.is_file():
        try:
            settings = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ModelError(f"{path} cannot be read: {error}") from error
    # without the file: the values of ViTImageProcessor
    mean = torch.tensor(settings.get("image_mean") or [0.5] * channels)
    std = torch.tensor(settings.get("image_std") or [0.5] * channels)
    factor = float(settings.get("rescale_factor") or 1 / 255)
    if not settings.get("do_rescale", True):
        factor = 1.0
    if not settings.get("do_normalize", True):
        mean, std = torch.zeros(channels), torch.ones(channels)
    return (factor / std)[:, None], (-mean / std)[:, None]
