"""Model directories as people have them: sharded, old, incomplete, broken; errors say which."""

from __future__ import annotations

import json
from pathlib import Path

import checkpoints
import pytest
import torch
from nets import noise
from safetensors.torch import load_file, save_file
from torch import Tensor

from prism_edge.errors import ModelError
from prism_edge.families import FAMILIES, load
from prism_edge.families.checkpoint import (
    CHUNK_BYTES,
    fingerprint,
    read_checkpoint,
    read_config,
    weight_files,
)


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    return checkpoints.write(tmp_path / "bert", *checkpoints.bert("BertForSequenceClassification"))


def answer(directory: Path) -> Tensor:
    model = load(directory)
    prepared = model.prepare({"input_ids": torch.arange(12).view(2, 6)})
    return model.head(model.embed(prepared, 0, 6))["logits"]


def change_config(directory: Path, **changes: object) -> None:
    path = directory / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


# what is read


def test_every_family_is_read(tmp_path: Path) -> None:
    for family, make in {
        "vit": checkpoints.vit,
        "bert": checkpoints.bert,
        "gpt2": checkpoints.gpt2,
    }.items():
        model = load(checkpoints.write(tmp_path / family, *make()))
        assert model.shape.family == family
        assert len(model.blocks) == model.shape.blocks == 2
        assert all(block.qkv.weight.shape == (48, 16) for block in model.blocks)
    assert set(FAMILIES) == {"vit", "bert", "gpt2"}


def test_a_sharded_checkpoint_is_the_whole(bert: Path) -> None:
    expected = answer(bert)
    weights = load_file(bert / "model.safetensors")
    (bert / "model.safetensors").unlink()
    names = sorted(weights)
    for shard, part in enumerate((names[::2], names[1::2]), 1):
        file = bert / f"model-0000{shard}-of-00002.safetensors"
        save_file({name: weights[name] for name in part}, file)
    assert [path.name[6:11] for path in weight_files(bert)] == ["00001", "00002"]
    assert torch.equal(answer(bert), expected)
    file.unlink()
    with pytest.raises(
        ModelError, match=r"no tensor '.*' in the weights; is the checkpoint complete"
    ):
        load(bert)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before PyTorch 1.6"])
def test_a_pytorch_file_is_read(bert: Path, zipped: bool) -> None:
    expected = answer(bert)
    weights = load_file(bert / "model.safetensors")
    (bert / "model.safetensors").unlink()
    torch.save(weights, bert / "pytorch_model.bin", _use_new_zipfile_serialization=zipped)
    assert torch.equal(answer(bert), expected)


def test_safetensors_win_over_a_pytorch_file(bert: Path) -> None:
    expected = answer(bert)
    (bert / "pytorch_model.bin").write_bytes(b"not read")
    assert torch.equal(answer(bert), expected)


def test_a_pytorch_file_cannot_run_code(bert: Path, tmp_path: Path) -> None:
    (bert / "model.safetensors").unlink()
    torch.save({"evil": Evil(tmp_path / "touched")}, bert / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"pytorch_model\.bin cannot be read"):
        load(bert)
    assert not (tmp_path / "touched").exists()


class Evil:
    """Pickles as a call that leaves a trace."""

    def __init__(self, trace: Path) -> None:
        self._trace = trace

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self._trace,)


def test_norms_may_be_called_gamma_and_beta(bert: Path) -> None:
    expected = answer(bert)
    weights = load_file(bert / "model.safetensors")
    old = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): tensor
        for name, tensor in weights.items()
    }
    assert old.keys() != weights.keys()
    save_file(old, bert / "model.safetensors")
    assert torch.equal(answer(bert), expected)


def test_keys_may_lack_the_prefix_of_the_base_model(tmp_path: Path) -> None:
    config, weights = checkpoints.bert("BertForSequenceClassification")
    expected = answer(checkpoints.write(tmp_path / "with", config, weights))
    bare = {name.removeprefix("bert."): tensor for name, tensor in weights.items()}
    assert torch.equal(answer(checkpoints.write(tmp_path / "bare", config, bare)), expected)


def test_half_precision_weights_become_fp32(bert: Path) -> None:
    weights = load_file(bert / "model.safetensors")
    save_file({name: tensor.half() for name, tensor in weights.items()}, bert / "model.safetensors")
    model = load(bert)
    assert model.blocks[0].qkv.weight.dtype == model.blocks[0].norm1.bias.dtype == torch.float32
    assert answer(bert).dtype == torch.float32


# what is not there or not ours


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"model directory .*/nowhere does not exist"):
        load(tmp_path / "nowhere")


def test_a_directory_without_config_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"holds no config\.json; is it a Hugging Face model"):
        load(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "\x00", '{"model_type": '])
def test_a_broken_config_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ModelError, match=r"config\.json cannot be read"):
        read_config(tmp_path)


def test_a_config_that_is_no_object_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("[1]")
    with pytest.raises(ModelError, match="holds no JSON object"):
        load(tmp_path)


def test_no_weights_are_named(bert: Path) -> None:
    (bert / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"holds no weights \(model.safetensors or pytorch_model"):
        load(bert)


@pytest.mark.parametrize("kind", ["llama", None])
def test_other_families_are_refused_with_ours_named(bert: Path, kind: str | None) -> None:
    change_config(bert, model_type=kind)
    with pytest.raises(ModelError, match=r"is not supported \(supported: vit, bert, gpt2\)"):
        load(bert)


@pytest.mark.parametrize("architectures", [["BertForNextSentencePrediction"], [], None])
def test_other_heads_are_refused_with_ours_named(bert: Path, architectures: object) -> None:
    change_config(bert, architectures=architectures)
    with pytest.raises(ModelError, match=r"is not supported \(supported for bert: BertModel, "):
        load(bert)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.99])
def test_a_truncated_file_is_named(bert: Path, share: float) -> None:
    path = bert / "model.safetensors"
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(ModelError, match=r"model.safetensors cannot be read: .*download"):
        load(bert)


def test_a_truncated_pytorch_file_is_named(bert: Path) -> None:
    torch.save(load_file(bert / "model.safetensors"), bert / "pytorch_model.bin")
    (bert / "model.safetensors").unlink()
    path = bert / "pytorch_model.bin"
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(ModelError, match=r"pytorch_model.bin cannot be read"):
        load(bert)


@pytest.mark.parametrize(
    "missing",
    [
        "embeddings.word_embeddings.weight",
        "encoder.layer.1.attention.self.key.bias",
        "encoder.layer.0.output.LayerNorm.weight",
        "classifier.weight",
    ],
)
def test_a_missing_tensor_is_named(bert: Path, missing: str) -> None:
    weights = load_file(bert / "model.safetensors")
    kept = {name: tensor for name, tensor in weights.items() if not name.endswith(missing)}
    assert len(kept) == len(weights) - 1
    save_file(kept, bert / "model.safetensors")
    with pytest.raises(ModelError, match=f"no tensor '{missing}' in the weights"):
        load(bert)


@pytest.mark.parametrize(
    ("make", "key"),
    [
        (checkpoints.bert, "hidden_size"),
        (checkpoints.bert, "hidden_act"),
        (checkpoints.gpt2, "n_head"),
        (checkpoints.vit, "patch_size"),
    ],
)
def test_a_missing_setting_is_named(tmp_path: Path, make: object, key: str) -> None:
    config, weights = make()  # type: ignore[operator]
    del config[key]
    with pytest.raises(ModelError, match=rf"config\.json: '{key}' is missing"):
        load(checkpoints.write(tmp_path / "model", config, weights))


@pytest.mark.parametrize(
    ("make", "setting", "reason"),
    [
        (checkpoints.bert, {"is_decoder": True}, "is_decoder is not supported"),
        (checkpoints.bert, {"position_embedding_type": "relative_key"}, "only absolute positions"),
        (checkpoints.bert, {"hidden_act": "swishmish"}, "activation 'swishmish' is not supported"),
        (checkpoints.gpt2, {"add_cross_attention": True}, "add_cross_attention is not supported"),
        (
            checkpoints.gpt2,
            {"scale_attn_by_inverse_layer_idx": True},
            "scale_attn_by_inverse_layer_idx is not supported",
        ),
        (checkpoints.vit, {"image_size": [32, 48]}, "only square images"),
    ],
)
def test_settings_that_would_change_the_answer_are_refused(
    tmp_path: Path, make: object, setting: dict[str, object], reason: str
) -> None:
    config, weights = make()  # type: ignore[operator]
    path = checkpoints.write(tmp_path / "model", config, weights)
    load(path)
    change_config(path, **setting)
    with pytest.raises(ModelError, match=reason):
        load(path)


# fingerprint


def test_a_fingerprint_knows_weights_and_configuration(bert: Path) -> None:
    before = fingerprint(bert)
    assert len(before) == 16
    assert int(before, 16) >= 0
    assert fingerprint(bert) == before
    weights = load_file(bert / "model.safetensors")
    for name in ("classifier.bias", "bert.encoder.layer.1.attention.self.key.weight"):
        changed = {**weights, name: weights[name].clone()}
        changed[name].view(-1)[0] += 1e-3
        save_file(changed, bert / "model.safetensors")
        assert fingerprint(bert) != before, name
    save_file(weights, bert / "model.safetensors")
    assert fingerprint(bert) == before
    change_config(bert, layer_norm_eps=1e-5)
    assert fingerprint(bert) != before


def test_a_fingerprint_is_of_the_content_and_not_of_the_place(bert: Path, tmp_path: Path) -> None:
    twin = checkpoints.write(
        tmp_path / "elsewhere", *checkpoints.bert("BertForSequenceClassification")
    )
    (twin / "README.md").write_text("not part of the model")
    assert fingerprint(twin) == fingerprint(bert)


def test_a_fingerprint_reads_every_byte_of_a_large_file(tmp_path: Path) -> None:
    """Boards that differ in one layer in the middle must not compute together."""
    size = 2 * CHUNK_BYTES + 17
    (tmp_path / "config.json").write_text("{}")
    path = tmp_path / "model.safetensors"

    def written(changed: int | None = None) -> str:
        data = bytearray(size)
        if changed is not None:
            data[changed] = 1
        path.write_bytes(data)
        return fingerprint(tmp_path)

    plain = written()
    for place in (0, CHUNK_BYTES - 1, CHUNK_BYTES, size // 2, size - 1):
        assert written(place) != plain
    assert written() == plain
    path.write_bytes(bytes(size + 1))
    assert fingerprint(tmp_path) != plain


def test_reading_keeps_names_without_prefix(bert: Path) -> None:
    checkpoint = read_checkpoint(bert, "bert.")
    assert "embeddings.word_embeddings.weight" in checkpoint.weights
    assert "classifier.weight" in checkpoint.weights
    assert checkpoint.architecture == "BertForSequenceClassification"
    assert checkpoint.setting("vocab_size") == 50
    assert checkpoint.setting("missing", 7) == 7
    assert not torch.equal(checkpoint.tensor("classifier.bias"), noise(5))


def mapped(path: Path) -> bool:
    """True when this process has the file, or a part of it, mapped into its memory."""
    return str(path) in Path("/proc/self/maps").read_text()


def test_no_file_stays_mapped_beside_the_weights(bert: Path) -> None:
    path = bert / "model.safetensors"
    checkpoint = read_checkpoint(bert, "bert.")
    tensor = checkpoint.tensor("encoder.layer.0.output.dense.weight")
    assert torch.equal(tensor, load_file(path)["bert.encoder.layer.0.output.dense.weight"])
    model = load(bert)
    assert len(model.blocks) == 2
    assert not mapped(path)
    held = load_file(path)  # the control: how it would be otherwise
    assert held
    assert mapped(path)


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize(
    "key", ["bert.embeddings.word_embeddings.weight", "bert.encoder.layer.1.output.dense.bias"]
)
def test_weights_that_are_no_numbers_are_named(bert: Path, key: str, odd: float) -> None:
    weights = load_file(bert / "model.safetensors")
    weights[key].view(-1)[-1] = odd
    save_file(weights, bert / "model.safetensors")
    with pytest.raises(ModelError, match=rf"tensor '{key[5:]}' holds NaN or infinite values in"):
        load(bert)


def test_weights_may_be_as_large_as_numbers_are(bert: Path) -> None:
    weights = load_file(bert / "model.safetensors")
    weights["bert.embeddings.word_embeddings.weight"].fill_(3e38)
    save_file(weights, bert / "model.safetensors")
    load(bert)
