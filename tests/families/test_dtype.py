"""Models compute in half precision and on a GPU as they do in fp32 on a CPU, up to rounding; what a
machine lacks is refused before a weight is read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import checkpoints
import pytest
import torch
from nets import over_loopback
from torch import Tensor

from prism_edge.errors import ModelError
from prism_edge.families import load
from prism_edge.families.device import DTYPES, described, usable
from prism_edge.families.model import Model

FAMILIES = ("vit", "bert", "gpt2")
# eps of the dtype times the depth that roundings pass through; measured errors are below a third
TOLERANCE = {"fp32": 1e-4, "fp16": 2e-2, "bf16": 1e-1}
GPU = pytest.param("cuda", marks=pytest.mark.gpu)
PLANS = ("prism:p=2,l=3", "prism:p=2,l=3,dtype=int8", "voltage:p=2", "split:p=2")


@pytest.fixture(scope="module")
def directories(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    made = {
        "vit": checkpoints.vit(),
        "bert": checkpoints.bert(),
        "gpt2": checkpoints.gpt2(),
    }
    return {
        name: checkpoints.write(tmp_path_factory.mktemp(name), *parts)
        for name, parts in made.items()
    }


def inputs_of(model: Model) -> dict[str, Tensor]:
    if model.shape.fixed_tokens:
        source = torch.Generator().manual_seed(0)
        return {
            "pixel_values": torch.randint(
                0, 256, (2, 3, 32, 32), dtype=torch.uint8, generator=source
            )
        }
    ids = torch.arange(24).view(2, 12) % 50
    mask = torch.ones(2, 12, dtype=torch.long)
    mask[0, :3] = 0  # padding on the left, as generation wants it
    return {"input_ids": ids, "attention_mask": mask}


def real_rows(model: Model, outputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Outputs without the rows of padding, which mean nothing."""
    if model.shape.fixed_tokens:
        return dict(outputs)
    return {name: value[:, 3:] if value.dim() == 3 else value for name, value in outputs.items()}


@pytest.mark.parametrize("device", ["cpu", GPU])
@pytest.mark.parametrize("dtype", ["fp32", "fp16", "bf16"])
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("plan", ["local", *PLANS])
def test_answers_are_those_of_fp32_on_a_cpu(
    directories: Mapping[str, Path], family: str, dtype: str, device: str, plan: str
) -> None:
    exact, model = load(directories[family]), load(directories[family], device, dtype)
    assert model.blocks[0].qkv.weight.dtype == DTYPES[dtype]
    assert model.blocks[0].qkv.weight.device.type == device
    inputs = inputs_of(model)
    expected = real_rows(model, over_loopback(exact, plan, inputs)[0])
    found = real_rows(model, over_loopback(model, plan, inputs)[0])
    for name, value in found.items():
        assert value.dtype == torch.float32
        assert value.device.type == "cpu"
        scale = expected[name].abs().max()
        assert (value - expected[name]).abs().max() <= TOLERANCE[dtype] * scale, name


def test_control_half_precision_is_not_fp32(directories: Mapping[str, Path]) -> None:
    exact, model = load(directories["vit"]), load(directories["vit"], "cpu", "fp16")
    inputs = inputs_of(model)
    found, expected = (over_loopback(net, "local", inputs)[0]["logits"] for net in (model, exact))
    assert (found - expected).abs().max() > TOLERANCE["fp32"] * 0.1 * expected.abs().max()
    assert not torch.equal(found, expected)


def test_pixels_given_as_floats_are_taken_in_half_precision(
    directories: Mapping[str, Path],
) -> None:
    exact, model = load(directories["vit"]), load(directories["vit"], "cpu", "bf16")
    pixels = {"pixel_values": torch.linspace(-1, 1, 3 * 32 * 32).view(1, 3, 32, 32)}
    found, expected = (over_loopback(net, "local", pixels)[0]["logits"] for net in (model, exact))
    assert (found - expected).abs().max() <= TOLERANCE["bf16"] * expected.abs().max()


# -- what a machine lacks ----------------------------------------------------------------------


@pytest.mark.parametrize("dtype", sorted(DTYPES))
def test_a_cpu_is_usable_in_every_dtype(dtype: str) -> None:
    assert usable("cpu", dtype) == (torch.device("cpu"), DTYPES[dtype])
    assert described(torch.device("cpu")) == "cpu"


def test_an_unknown_dtype_is_refused() -> None:
    with pytest.raises(ModelError, match="dtype 'float16', allowed is fp32, fp16, bf16"):
        usable("cpu", "float16")


@pytest.mark.skipif(torch.version.cuda is not None, reason="this torch has CUDA")
def test_a_gpu_that_this_torch_cannot_use_is_refused_before_anything_is_read(
    tmp_path: Path,
) -> None:
    with pytest.raises(ModelError) as caught:
        load(tmp_path / "nothing", "cuda")
    message = str(caught.value)
    assert message.startswith(f"device cuda, but this torch ({torch.__version__}) has no CUDA")
    assert "set device = 'cpu'" in message


@pytest.mark.gpu
def test_a_gpu_is_described_and_another_number_refused() -> None:
    device, _ = usable("cuda", "fp16")
    assert described(device) == f"cuda:0 {torch.cuda.get_device_name(0)}"
    with pytest.raises(ModelError, match=r"cuda:99: this board has \d+ GPU"):
        usable("cuda:99", "fp32")
