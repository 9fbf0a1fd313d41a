"""BERT: embeddings by position, kind and word; heads by architecture."""

from __future__ import annotations

import checkpoints
import pytest
import torch
from torch import Tensor
from torch.nn.functional import layer_norm

from prism_edge.errors import InputError
from prism_edge.families.bert import ARCHITECTURES, Bert

IDS = torch.tensor([[4, 9, 2, 7, 1, 0], [3, 3, 8, 5, 49, 6]])


def bert(architecture: str = "BertModel", **changes: object) -> Bert:
    return Bert(checkpoints.in_memory(*checkpoints.bert(architecture, **changes), "bert."))


def embeddings(model: Bert, start: int = 0, stop: int = 6, **more: Tensor) -> Tensor:
    return model.embed(model.prepare({"input_ids": IDS, **more}), start, stop)


def test_embeddings_are_word_plus_position_plus_kind() -> None:
    _, weights = checkpoints.bert()
    kinds = torch.tensor([[0, 0, 0, 1, 1, 1]] * 2)
    at = "embeddings."
    total = weights[f"{at}word_embeddings.weight"][IDS]
    total = total + weights[f"{at}position_embeddings.weight"][:6]
    total = total + weights[f"{at}token_type_embeddings.weight"][kinds]
    norm = f"{at}LayerNorm"
    expected = layer_norm(total, (16,), weights[f"{norm}.weight"], weights[f"{norm}.bias"], 1e-12)
    assert torch.allclose(embeddings(bert(), token_type_ids=kinds), expected, atol=1e-5)
    assert not torch.allclose(embeddings(bert()), expected, atol=1e-2)


@pytest.mark.parametrize(("start", "stop"), [(0, 6), (0, 2), (2, 5), (5, 6)])
def test_any_run_of_tokens_is_embedded_alone(start: int, stop: int) -> None:
    kinds = torch.tensor([[0, 1, 0, 1, 1, 0]] * 2)
    model = bert()
    found = embeddings(model, start, stop, token_type_ids=kinds)
    assert torch.equal(found, embeddings(model, token_type_ids=kinds)[:, start:stop])
    assert model.positionwise


def test_a_mask_says_what_is_real() -> None:
    model, mask = bert(), torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 0, 0, 0, 0]])
    real = model.real(model.prepare({"input_ids": IDS, "attention_mask": mask}))
    assert real is not None
    assert torch.equal(real.long(), mask)
    assert model.real(model.prepare({"input_ids": IDS})) is None
    full = {"input_ids": IDS, "attention_mask": torch.ones_like(IDS)}
    assert model.real(model.prepare(full)) is None
    assert model.tokens(model.prepare(full)) == 6


def test_both_ends_of_a_text_are_sinks() -> None:
    for model in (bert(), bert("BertForSequenceClassification")):
        shape = model.shape
        assert (shape.lead, shape.trail, shape.class_token) == (1, 1, True)


def test_the_longest_input_is_what_it_has_positions_for() -> None:
    longest = torch.zeros(1, 30, dtype=torch.long)
    bert().prepare({"input_ids": longest})
    with pytest.raises(InputError, match="31 tokens, the model has 30 positions"):
        bert().prepare({"input_ids": torch.zeros(1, 31, dtype=torch.long)})
    with pytest.raises(InputError, match="input_ids holds 50, allowed are 0 to 49"):
        bert().prepare({"input_ids": longest + 50})
    with pytest.raises(InputError, match="inputs are"):
        bert().prepare({"input_ids": longest, "position_ids": longest})


def test_a_base_model_may_lack_its_pooler() -> None:
    config, weights = checkpoints.bert()
    bare = {key: tensor for key, tensor in weights.items() if not key.startswith("pooler")}
    model = Bert(checkpoints.in_memory(config, bare, "bert."))
    assert list(model.head(torch.zeros(2, 6, 16))) == ["last_hidden_state"]
    assert (model.shape.output_fixed, model.shape.output_per_token) == (0, 16)
    assert list(bert().head(torch.zeros(2, 6, 16))) == ["last_hidden_state", "pooler_output"]
    assert (bert().shape.output_fixed, bert().shape.output_per_token) == (16, 16)


def test_a_classifier_reads_the_first_row_only() -> None:
    model, rows = bert("BertForSequenceClassification"), torch.randn(2, 6, 16)
    assert model.shape.needs == "first"
    assert torch.equal(model.head(rows)["logits"], model.head(rows[:, :1])["logits"])
    assert not torch.equal(model.head(rows)["logits"], model.head(rows[:, 1:])["logits"])


def test_every_listed_architecture_is_compared_with_hugging_face() -> None:
    """test_exactness.py holds one checkpoint of each; a new one must be added there."""
    assert set(ARCHITECTURES) == {
        "BertModel",
        "BertForSequenceClassification",
        "BertForTokenClassification",
        "BertForMaskedLM",
        "BertForQuestionAnswering",
    }
