"""Token ids: what is malformed is named, what travels is small, what arrives is what was sent."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from prism_edge.errors import InputError
from prism_edge.families.text import SHORT, check_text, pack_text, unpack

CPU = torch.device("cpu")

IDS = torch.tensor([[1, 2, 3], [4, 5, 6]])
OPTIONAL = {"attention_mask": 2, "token_type_ids": 2}


def check(**inputs: Tensor) -> dict[str, Tensor]:
    return check_text(inputs, vocabulary=50, positions=8, optional=OPTIONAL)


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8])
def test_any_integers_are_taken(dtype: torch.dtype) -> None:
    found = check(input_ids=IDS.to(dtype), attention_mask=torch.ones(2, 3, dtype=torch.bool))
    assert found["input_ids"].dtype == found["attention_mask"].dtype == torch.int64
    assert torch.equal(found["input_ids"], IDS)


@pytest.mark.parametrize(
    ("inputs", "reason"),
    [
        ({}, r"inputs are \[\], this model takes input_ids and optionally attention_mask, "),
        ({"attention_mask": IDS}, r"inputs are \['attention_mask'\]"),
        ({"input_ids": IDS, "labels": IDS}, r"inputs are \['input_ids', 'labels'\]"),
        ({"input_ids": IDS[0]}, r"input_ids has shape \[3\], expected is \[batch, tokens\]"),
        ({"input_ids": IDS[None]}, r"input_ids has shape \[1, 2, 3\]"),
        ({"input_ids": IDS[:0]}, r"input_ids has shape \[0, 3\]"),
        ({"input_ids": IDS[:, :0]}, r"input_ids has shape \[2, 0\]"),
        (
            {"input_ids": IDS, "attention_mask": IDS[:, :2]},
            r"attention_mask has shape \[2, 2\], expected is .* like input_ids \[2, 3\]",
        ),
        ({"input_ids": IDS.float()}, "input_ids has dtype float32, expected are integers"),
        ({"input_ids": IDS.to(torch.complex64)}, "input_ids has dtype complex64"),
        ({"input_ids": IDS - 2}, "input_ids holds -1, allowed are 0 to 49"),
        ({"input_ids": IDS + 44}, "input_ids holds 50, allowed are 0 to 49"),
        ({"input_ids": IDS, "attention_mask": IDS}, "attention_mask holds 6, allowed are 0 to 1"),
        ({"input_ids": IDS, "token_type_ids": -IDS}, "token_type_ids holds -6, allowed are 0 to 1"),
        ({"input_ids": torch.ones(1, 9).long()}, "input_ids has 9 tokens, the model has 8 pos"),
    ],
)
def test_what_is_malformed_is_named(inputs: dict[str, Tensor], reason: str) -> None:
    check(input_ids=IDS)
    with pytest.raises(InputError, match=reason):
        check(**inputs)


@pytest.mark.parametrize(
    ("vocabulary", "dtype"), [(50, torch.int16), (SHORT, torch.int16), (SHORT + 1, torch.int32)]
)
def test_ids_take_two_bytes_where_the_vocabulary_allows(
    vocabulary: int, dtype: torch.dtype
) -> None:
    ids = torch.tensor([[0, 1, vocabulary // 2, vocabulary - 1]])
    packed = pack_text({"input_ids": ids}, vocabulary)
    assert packed["input_ids"].dtype == dtype
    assert torch.equal(unpack(packed["input_ids"], CPU), ids)
    if vocabulary == SHORT:
        assert not torch.equal(packed["input_ids"].long(), ids)  # the upper half is negative


def test_what_says_nothing_does_not_travel() -> None:
    ones, zeros = torch.ones_like(IDS), torch.zeros_like(IDS)
    silent = {"input_ids": IDS, "attention_mask": ones, "token_type_ids": zeros}
    assert pack_text(silent, 50).keys() == {"input_ids"}
    mask, kinds = ones.clone(), zeros.clone()
    mask[1, 2], kinds[0, 1] = 0, 1
    telling = {"input_ids": IDS, "attention_mask": mask, "token_type_ids": kinds}
    packed = pack_text({**telling, "position_ids": IDS}, 50)
    assert packed["attention_mask"].dtype == packed["token_type_ids"].dtype == torch.uint8
    assert packed["position_ids"].dtype == torch.int32
    for name, tensor in telling.items():
        assert torch.equal(packed[name].long(), tensor)
