"""GPT-2: positions by place or as given; output layer tied or its own."""

from __future__ import annotations

import checkpoints
import pytest
import torch
from nets import noise

from prism_edge.errors import InputError, ModelError
from prism_edge.families.gpt2 import ARCHITECTURES, Gpt2

IDS = torch.tensor([[4, 9, 2, 7, 1, 0], [3, 3, 8, 5, 49, 6]])


def gpt2(**changes: object) -> Gpt2:
    return Gpt2(checkpoints.in_memory(*checkpoints.gpt2(**changes), "transformer."))


def test_embeddings_are_word_plus_position() -> None:
    _, weights = checkpoints.gpt2()
    word, position = weights["transformer.wte.weight"], weights["transformer.wpe.weight"]
    model = gpt2()
    plain = model.prepare({"input_ids": IDS})
    assert torch.equal(model.embed(plain, 0, 6), word[IDS] + position[:6])
    assert torch.equal(model.embed(plain, 2, 5), word[IDS[:, 2:5]] + position[2:5])
    places = torch.tensor([[0, 0, 0, 1, 2, 3], [5, 4, 3, 2, 1, 0]])
    given = model.prepare({"input_ids": IDS, "position_ids": places})
    assert torch.equal(model.embed(given, 2, 5), word[IDS[:, 2:5]] + position[places[:, 2:5]])
    assert not torch.equal(model.embed(given, 0, 6), model.embed(plain, 0, 6))


def test_projections_are_stored_the_other_way_round() -> None:
    """Conv1D holds [in, out]; every rank computes x W."""
    _, weights = checkpoints.gpt2()
    block, x = gpt2().blocks[1], noise(3, 16)
    kernel, bias = (weights[f"transformer.h.1.mlp.c_fc.{name}"] for name in ("weight", "bias"))
    assert torch.allclose(block.up(x), x @ kernel + bias, atol=1e-5)
    assert block.down.weight.shape == (16, 24)


def test_the_output_layer_is_tied_unless_the_config_says_otherwise() -> None:
    config, weights = checkpoints.gpt2()
    own = {**weights, "lm_head.weight": noise(50, 16)}
    rows = noise(2, 6, 16)

    def logits(tied: bool | None) -> torch.Tensor:
        settings = config if tied is None else {**config, "tie_word_embeddings": tied}
        model = Gpt2(checkpoints.in_memory(settings, own, "transformer."))
        return model.head(rows)["logits"]

    assert torch.equal(logits(None), gpt2().head(rows)["logits"])
    assert torch.equal(logits(True), gpt2().head(rows)["logits"])
    assert not torch.allclose(logits(False), gpt2().head(rows)["logits"], atol=1e-2)
    with pytest.raises(ModelError, match=r"no tensor 'lm_head\.weight'"):
        gpt2(tie_word_embeddings=False)


def test_scores_are_scaled_unless_the_config_says_otherwise() -> None:
    assert gpt2().blocks[0].scale == 8**-0.5
    assert gpt2(scale_attn_weights=False).blocks[0].scale == 1.0


def test_what_is_malformed_is_named() -> None:
    gpt2().prepare({"input_ids": IDS})
    with pytest.raises(InputError, match="position_ids holds 30, allowed are 0 to 29"):
        gpt2().prepare({"input_ids": IDS, "position_ids": torch.full_like(IDS, 30)})
    with pytest.raises(InputError, match=r"inputs are .* optionally attention_mask, position_ids"):
        gpt2().prepare({"input_ids": IDS, "token_type_ids": torch.zeros_like(IDS)})
    with pytest.raises(InputError, match="31 tokens, the model has 30 positions"):
        gpt2().prepare({"input_ids": torch.zeros(1, 31, dtype=torch.long)})


def test_its_shape_says_what_it_takes_and_gives() -> None:
    words, bare = gpt2(), gpt2(architecture="GPT2Model")
    assert words.shape.causal
    assert (words.shape.needs, words.shape.token_bytes) == ("all", 2)
    sinks = words.shape.lead, words.shape.trail, words.shape.class_token
    assert sinks == (1, 0, False)  # the first token, which is an ordinary one
    assert [spec.name for spec in words.outputs + bare.outputs] == ["logits", "last_hidden_state"]
    assert (words.shape.output_per_token, bare.shape.output_per_token) == (50, 16)
    assert (words.shape.ffn, gpt2().blocks[0].up.weight.shape[0]) == (24, 24)
    assert words.positionwise
    assert ARCHITECTURES == ("GPT2Model", "GPT2LMHeadModel")
