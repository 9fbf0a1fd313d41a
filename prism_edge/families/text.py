"""Token ids and masks: checked, and packed into the bytes in which they travel.

Letters: B batch, N tokens.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from prism_edge.errors import InputError
from prism_edge.families.model import Model, Tensors

SHORT = 1 << 16  # vocabularies up to here travel as 16-bit ids


class TextModel(Model):
    """What families of text share: every rank gets all ids, so it can embed and count any token.

    ``_vocabulary``: ids; ``_optional``: inputs beside input_ids, with the size of their range.
    """

    _vocabulary: int
    _optional: Mapping[str, int]

    def prepare(self, inputs: Mapping[str, Tensor]) -> Tensors:
        checked = check_text(inputs, self._vocabulary, self.shape.tokens, self._optional)
        return pack_text(checked, self._vocabulary)

    def part(self, prepared: Tensors, start: int, stop: int) -> Tensors:
        return prepared

    def tokens(self, prepared: Tensors) -> int:
        return prepared["input_ids"].shape[1]

    def real(self, prepared: Tensors) -> Tensor | None:
        return prepared.get("attention_mask")


def check_text(
    inputs: Mapping[str, Tensor], vocabulary: int, positions: int, optional: Mapping[str, int]
) -> dict[str, Tensor]:
    """Integer tensors [B,N] within range; ``optional`` maps names to the size of their range.

    Raises ``InputError`` that names tensor, value and what is allowed.
    """
    allowed = {"input_ids": vocabulary, **optional}
    if "input_ids" not in inputs or not set(inputs) <= set(allowed):
        raise InputError(
            f"inputs are {sorted(inputs)}, this model takes input_ids and optionally "
            f"{', '.join(optional)}"
        )
    shape = inputs["input_ids"].shape
    for name, tensor in inputs.items():
        if tensor.dim() != 2 or tensor.shape != shape or 0 in tensor.shape:
            raise InputError(
                f"{name} has shape {list(tensor.shape)}, expected is [batch, tokens]"
                f"{'' if name == 'input_ids' else ' like input_ids ' + str(list(shape))}"
            )
        if tensor.is_floating_point() or tensor.is_complex():
            kind = str(tensor.dtype).removeprefix("torch.")
            raise InputError(f"{name} has dtype {kind}, expected are integers")
        low, high = int(tensor.min()), int(tensor.max())
        if low < 0 or high >= allowed[name]:
            raise InputError(
                f"{name} holds {low if low < 0 else high}, allowed are 0 to {allowed[name] - 1}"
            )
    if shape[1] > positions:
        raise InputError(f"input_ids has {shape[1]} tokens, the model has {positions} positions")
    return {name: tensor.long() for name, tensor in inputs.items()}


def pack_text(inputs: Mapping[str, Tensor], vocabulary: int) -> dict[str, Tensor]:
    """Ids in 16 bits where the vocabulary allows; masks in 8, left out where they say nothing."""
    packed = {
        "input_ids": inputs["input_ids"].to(torch.int16 if vocabulary <= SHORT else torch.int32)
    }
    mask, kinds = inputs.get("attention_mask"), inputs.get("token_type_ids")
    if mask is not None and not bool(mask.all()):
        packed["attention_mask"] = mask.to(torch.uint8)
    if kinds is not None and bool(kinds.any()):
        packed["token_type_ids"] = kinds.to(torch.uint8)
    positions = inputs.get("position_ids")
    if positions is not None:
        packed["position_ids"] = positions.to(torch.int32)
    return packed


def unpack(ids: Tensor, device: torch.device) -> Tensor:
    """Ids as int64 on ``device``; 16-bit ids above 32767 travelled as negative numbers."""
    wide = ids.to(device).long()
    return wide & 0xFFFF if ids.dtype == torch.int16 else wide
