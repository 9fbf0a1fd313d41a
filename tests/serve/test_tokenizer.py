"""A model's tokenizer says what Hugging Face's says, from the files of any age."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from prism_edge.errors import ModelError
from prism_edge.serve.tokenizer import has_tokenizer, read_tokenizer


@pytest.fixture(scope="module")
def expected(inputs_reference: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((inputs_reference / "expected.json").read_text())
    return found


@pytest.mark.parametrize("age", ["", "-old"])
@pytest.mark.parametrize("kind", ["gpt2", "bert"])
def test_ids_and_texts_are_hugging_faces(
    kind: str, age: str, inputs_reference: Path, expected: dict[str, Any]
) -> None:
    codec = read_tokenizer(inputs_reference / f"{kind}{age}")
    encoded = [codec.encode(text) for text in expected["texts"]]
    assert [one.ids for one in encoded] == expected[kind]["ids"]
    kinds = expected[kind]["kinds"]
    assert [one.kinds for one in encoded] == [
        known or [0] * len(one.ids) for one, known in zip(encoded, kinds, strict=True)
    ]
    assert [codec.decode(one.ids) for one in encoded] == expected[kind]["said"]
    assert len({tuple(ids) for ids in expected[kind]["ids"]}) == len(expected["texts"])


def test_padding_and_cutting_in_the_file_are_not_obeyed(
    inputs_reference: Path, expected: dict[str, Any], tmp_path: Path
) -> None:
    settings = json.loads((inputs_reference / "bert" / "tokenizer.json").read_text())
    settings["truncation"] = {
        "direction": "Right",
        "max_length": 3,
        "strategy": "LongestFirst",
        "stride": 0,
    }
    (tmp_path / "tokenizer.json").write_text(json.dumps(settings))
    codec = read_tokenizer(tmp_path)
    assert codec.encode(expected["texts"][0]).ids == expected["bert"]["ids"][0]
    assert len(expected["bert"]["ids"][0]) > 3


@pytest.mark.parametrize(
    ("files", "end"),
    [
        ({}, None),
        ({"config.json": {"eos_token_id": 7}}, 7),
        (
            {
                "config.json": {"eos_token_id": 7},
                "generation_config.json": {"eos_token_id": [8, 9]},
            },
            8,
        ),
        ({"config.json": {"eos_token_id": None}}, None),
    ],
)
def test_the_end_of_a_text_is_the_checkpoints(
    files: dict[str, Any], end: int | None, inputs_reference: Path, tmp_path: Path
) -> None:
    shutil.copy(inputs_reference / "gpt2" / "tokenizer.json", tmp_path)
    for name, settings in files.items():
        (tmp_path / name).write_text(json.dumps(settings))
    assert read_tokenizer(tmp_path).end == end


def test_what_is_no_tokenizer_is_named(inputs_reference: Path, tmp_path: Path) -> None:
    assert not has_tokenizer(tmp_path)
    with pytest.raises(ModelError, match=r"has no tokenizer: copy the model's tokenizer\.json"):
        read_tokenizer(tmp_path)
    (tmp_path / "vocab.json").write_text("{}")
    assert not has_tokenizer(tmp_path)  # without its merges
    assert has_tokenizer(inputs_reference / "damaged")
    with pytest.raises(ModelError, match=r"tokenizer\.json: not a tokenizer \("):
        read_tokenizer(inputs_reference / "damaged")
