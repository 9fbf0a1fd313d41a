"""A variant that changes nothing is the simulation; what is wrong on purpose is wrong, and how."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import checkpoints
import numpy as np
import pytest
import torch
from nets import Net, error, noise, padding
from torch import Tensor

from prism_edge.accuracy.data import Samples
from prism_edge.families.vit import Vit
from prism_edge.plan import Plan
from prism_edge.simulate import simulate
from prism_edge.traffic import wire_bytes

CLOSE, WRONG = 1e-5, 1e-2
RIGHT = ("plain", "no-sinks", "spread", "salient1", "clusters")


def load(name: str) -> ModuleType:
    path = Path(__file__).parents[2] / "examples" / "ablations" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses and the other file look it up
    spec.loader.exec_module(module)
    return module


variants = load("variants")
compare = load("compare")


def rows(variant: str, net: Net, plan: str, x: Tensor, real: Tensor | None = None) -> Tensor:
    inputs = {"x": x} if real is None else {"x": x, "real": real}
    found: Tensor = variants.answer(variant, net, Plan.parse(plan), inputs)["rows"]
    return found


def alike(lengths: tuple[int, ...]) -> Tensor:
    """Runs of equal tokens.  -> [2,N,D]"""
    kinds = noise(2, len(lengths), 32)
    return torch.repeat_interleave(kinds, torch.tensor(lengths), dim=1)


@pytest.mark.parametrize("causal", [False, True])
def test_plain_is_the_simulation(causal: bool) -> None:
    net, inputs = Net(causal=causal), {"x": noise(3, 37, 32), "real": padding((37, 20, 30), 37)}
    for text in ("local", "prism:p=3,l=3,dtype=int8,tap=before", "prism:p=2,l=5/0/3/0"):
        plan = Plan.parse(text)
        expected = simulate(net, plan, inputs)["rows"]
        assert torch.equal(variants.answer("plain", net, plan, inputs)["rows"], expected)


@pytest.mark.parametrize("variant", [*RIGHT, "uncounted"])
@pytest.mark.parametrize("causal", [False, True])
def test_a_row_for_every_token_is_exact_however_it_is_chosen(variant: str, causal: bool) -> None:
    net, x = Net(causal=causal, lead=1), noise(2, 24, 32)
    found = rows(variant, net, "prism:p=2,l=12", x)
    assert error(found, rows("plain", net, "local", x)) < CLOSE
    assert error(rows("unheard", net, "prism:p=2,l=12", x), found) > WRONG


@pytest.mark.parametrize("variant", [*RIGHT, "uncounted"])
def test_equal_tokens_are_exact_only_if_they_are_counted(variant: str) -> None:
    net, x = Net(), alike((18, 18))
    off = error(rows(variant, net, "prism:p=2,l=3", x), rows("plain", net, "local", x))
    assert off > WRONG if variant == "uncounted" else off < CLOSE


def test_padding_is_no_part_of_a_mean() -> None:
    net, real = Net(), padding((24, 19), 24)
    x = torch.where(real[..., None] > 0, alike((12, 12)), noise(2, 24, 32, seed=9))
    exact = rows("plain", net, "local", x, real)
    for variant in RIGHT:
        found = rows(variant, net, "prism:p=2,l=2", x, real)
        assert error(found[real > 0], exact[real > 0]) < CLOSE, variant
    padded = rows("padded", net, "prism:p=2,l=2", x, real)
    assert error(padded[real > 0], exact[real > 0]) > WRONG


def test_like_tokens_are_found_where_they_are_no_neighbours() -> None:
    net, x = Net(), alike((9, 9, 9, 9))
    order = torch.arange(36)
    order[[19, 28]] = order[[28, 19]]  # of the second part, one token of each kind
    exact = rows("plain", net, "local", x[:, order])
    assert error(rows("clusters", net, "prism:p=2,l=2", x[:, order]), exact) < CLOSE
    assert error(rows("plain", net, "prism:p=2,l=2", x[:, order]), exact) > WRONG


def test_the_odd_token_out_is_the_salient_one() -> None:
    net, x = Net(), alike((18, 18))
    x[:, 25] = noise(2, 32, seed=4)
    x[:, 7] = noise(2, 32, seed=5)
    exact = rows("plain", net, "local", x)
    assert error(rows("salient1", net, "prism:p=2,l=2", x), exact) < CLOSE
    assert error(rows("plain", net, "prism:p=2,l=2", x), exact) > WRONG


def test_segments_that_vary_a_little_weigh_more() -> None:
    net = Net(blocks=1)
    x = alike((9, 9, 9, 9)) + 0.3 * noise(2, 36, 32, seed=6)
    exact = rows("plain", net, "local", x)
    plain, spread = (rows(name, net, "prism:p=2,l=2", x) for name in ("plain", "spread"))
    assert error(spread, exact) < 0.9 * error(plain, exact)


def test_sinks_stand_apart_only_where_they_are_said_to() -> None:
    net, x = Net(lead=1), noise(2, 24, 32)
    apart = rows("no-sinks", net, "prism:p=2,l=3", x)
    assert error(apart, rows("plain", Net(lead=0), "prism:p=2,l=3", x)) < CLOSE
    assert error(apart, rows("plain", net, "prism:p=2,l=3", x)) > WRONG


@pytest.mark.parametrize(
    ("architecture", "prefix", "size"),
    # the latter: 3 x 3 patches, not all cells of a curve of 4 x 4
    [("ViTForImageClassification", "vit.", 32), ("ViTModel", "", 24)],
)
def test_strips_are_patches_in_rows(architecture: str, prefix: str, size: int) -> None:
    made = checkpoints.vit(architecture, image_size=size)
    model = Vit(checkpoints.in_memory(*made, prefix))
    inputs = model.prepare({"pixel_values": noise(3, 3, size, size)})
    plan = Plan.parse(f"prism:p=2,l={-(-model.shape.tokens // 2)}")
    exact = simulate(model, Plan.parse("local"), inputs)
    for name, found in variants.answer("strips", model, plan, inputs).items():
        assert error(found, exact[name]) < CLOSE
    blank = {"patches": torch.zeros_like(inputs["patches"])}
    positions = made[1][f"{prefix}embeddings.position_embeddings"]
    for twin, close in ((variants.strips(model), True), (model, False)):
        found = twin.embed(blank, 0, model.shape.tokens)[:1]
        off = error(found[:, -1] - found[:, 1], positions[:, -1] - positions[:, 1])
        assert off < CLOSE if close else off > WRONG


def test_what_travels_besides_rows_is_counted() -> None:
    net, plan = Net(lead=1), Plan.parse("prism:p=2,l=4,dtype=fp16")
    plain = wire_bytes(plan, net.shape, 1, 24)
    sent = {name: variants.bytes_sent(name, net, plan, 24) - plain for name in variants.VARIANTS}
    # 6 messages after the first one, which every rank of a text model makes itself; in the 3 of the
    # first rank the sink needs nothing
    assert sent["plain"] == sent["strips"] == sent["uncounted"] == 0
    assert sent["salient1"] == 6
    assert sent["clusters"] == 3 * 3 + 3 * 4
    assert sent["spread"] == (3 * 3 + 3 * 4) * 4 * 2


def test_variants_are_held_against_the_plan_as_it_is() -> None:
    model = Vit(checkpoints.in_memory(*checkpoints.vit(), "vit."))
    pixels = noise(6, 3, 32, 32)
    samples = Samples(
        name="noise",
        count=6,
        inputs=({"pixel_values": pixels[:4]}, {"pixel_values": pixels[4:]}),
        labels=np.zeros(6, dtype=np.int64),
    )
    plans = [Plan.parse("prism:p=2,l=1")]
    found = list(compare.compare(model, samples, plans, ["unheard"], {"agreement"}))
    assert [(row["plan"], row["variant"]) for row in found] == [
        ("local", "plain"),
        ("prism:p=2,l=1,dtype=fp32", "plain"),
        ("prism:p=2,l=1,dtype=fp32", "unheard"),
    ]
    local, plain, unheard = found
    assert local["value"] == 1
    assert plain["worse_than_plain"]["value"] == 0
    assert unheard["worse_than_exact"]["value"] == pytest.approx(1 - unheard["value"])
    assert unheard["worse_than_plain"]["value"] == pytest.approx(plain["value"] - unheard["value"])
    assert all(compare.line(row) for row in found)
