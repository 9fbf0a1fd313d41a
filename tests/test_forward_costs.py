"""Bytes and operations, counted where they happen, equal the formulas everything else relies on.

Golden numbers are those of the published geometries: ViT-B/16 (197 tokens, width 768, 12 blocks),
BERT-base (N = 256) and GPT-2 small (N = 1024). Bytes do not depend on the feed-forward width, nor
operations per block on the number of blocks, so both are made small where they cost time.
"""

from __future__ import annotations

from collections.abc import Mapping

import checkpoints
import pytest
import torch
from nets import Net, over_loopback
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from prism_edge.families.bert import Bert
from prism_edge.families.gpt2 import Gpt2
from prism_edge.families.model import Model, Tensors
from prism_edge.families.vit import Vit
from prism_edge.forward import run_blocks, whole
from prism_edge.layout import batch_shares, token_layout
from prism_edge.plan import LOCAL, Plan
from prism_edge.spans import Recorder
from prism_edge.traffic import input_bytes, output_bytes, wire_bytes
from prism_edge.transport import Pending
from prism_edge.transport.staging import HOST, Staging
from prism_edge.wire import HEADER_BYTES

PLANS = [
    "split:p=2",
    "split:p=3",
    "voltage:p=2",
    "voltage:p=3,dtype=fp16",
    "prism:p=2,l=3",
    "prism:p=2,l=1,dtype=fp16",
    "prism:p=3,l=2",
    "prism:p=4,l=2,dtype=fp16",
    "prism:p=2,l=4/1,dtype=int8,tap=before,share=2/1",
    "prism:p=3,l=4/0,pieces=2",
    "voltage:p=2,dtype=int8,pieces=3",
    "split:p=3,share=1/2/0",
    "split+prism:p=3,l=2,dtype=fp16",
]


def vit(**changes: object) -> Vit:
    architecture = str(changes.pop("architecture", "ViTForImageClassification"))
    return Vit(checkpoints.in_memory(*checkpoints.vit(architecture, **changes), "vit."))


def unpooled_vit() -> Vit:
    config, weights = checkpoints.vit("ViTModel")
    weights = {key: tensor for key, tensor in weights.items() if not key.startswith("pooler")}
    return Vit(checkpoints.in_memory(config, weights, "vit."))


def bert(**changes: object) -> Bert:
    architecture = str(changes.pop("architecture", "BertModel"))
    return Bert(checkpoints.in_memory(*checkpoints.bert(architecture, **changes), "bert."))


def gpt2(**changes: object) -> Gpt2:
    return Gpt2(checkpoints.in_memory(*checkpoints.gpt2(**changes), "transformer."))


def pixels(model: Model, batch: int) -> Tensors:
    """uint8, as they travel from a camera."""
    return {"pixel_values": torch.full((batch, *model.inputs[0].shape[1:]), 7, dtype=torch.uint8)}


def words(batch: int, tokens: int) -> Tensors:
    return {"input_ids": torch.arange(batch * tokens).view(batch, tokens) % 50}


def counted(model: Model, plan: str, inputs: Tensors) -> int:
    """Payload bytes all ranks sent for one request, headers left out."""
    _, group = over_loopback(model, plan, inputs)
    requests = 0  # to each worker that has something to do, one for each part of the plan
    for part, count in Plan.parse(plan).parts(next(iter(inputs.values())).shape[0]):
        workers = batch_shares(part, count)[1:] if part.method == "split" else range(1, part.p)
        requests += sum(map(bool, workers))
    return sum(rank.sent_bytes for rank in group) - requests * HEADER_BYTES


def formula(model: Model, plan: str, tokens: int, batch: int) -> int:
    return wire_bytes(Plan.parse(plan), model.shape, batch, tokens)


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("batch", [4, 5])
def test_bytes_counted_are_bytes_computed(plan: str, batch: int) -> None:
    for model in (vit(), vit(architecture="ViTModel"), unpooled_vit()):
        found = counted(model, plan, pixels(model, batch))
        assert found == formula(model, plan, 17, batch)
        assert found != formula(model, plan, 17, 2 * batch)
    for model in (bert(), bert(architecture="BertForSequenceClassification"), gpt2()):
        found = counted(model, plan, words(batch, 21))
        assert found == formula(model, plan, 21, batch)
        assert found != formula(model, plan, 22, batch)


def test_big_vocabularies_take_four_bytes_a_token() -> None:
    model = gpt2(vocab_size=(1 << 16) + 1)
    for plan in PLANS:
        assert counted(model, plan, words(4, 21)) == formula(model, plan, 21, 4)
    saved = counted(model, "split:p=2", words(4, 21)) - formula(gpt2(), "split:p=2", 21, 4)
    assert saved == 2 * 21 * 2 + 2 * 21 * ((1 << 16) + 1 - 50) * 4  # ids, and the wider answers


def test_a_mask_travels_as_a_byte_a_token_and_only_where_it_says_something() -> None:
    model, everything = bert(), words(2, 21)
    full = everything | {"attention_mask": torch.ones(2, 21, dtype=torch.long)}
    padded = {**full, "attention_mask": full["attention_mask"].clone()}
    padded["attention_mask"][1, 9:] = 0
    plain = counted(model, "prism:p=3,l=2", everything)
    assert counted(model, "prism:p=3,l=2", full) == plain
    assert counted(model, "prism:p=3,l=2", padded) == plain + 2 * (2 * 21)  # to each of two workers


ViT_B16 = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 8,
    "image_size": 224,
    "patch_size": 16,
    "fill": torch.zeros,
}


@pytest.fixture(scope="module")
def big_vits() -> dict[str, Vit]:
    """ViT-B/16 with a head that reads the class token, and without a head."""
    return {
        "first": vit(**ViT_B16),
        "all": vit(architecture="ViTModel", **ViT_B16),
    }


@pytest.mark.parametrize(
    ("plan", "needs", "exchanged"),
    [
        ("prism:p=2,l=10", "first", 645_120),
        ("prism:p=2,l=10", "all", 675_840),
        ("prism:p=2,l=10,dtype=fp16", "first", 322_560),
        ("prism:p=2,l=10,dtype=fp16", "all", 337_920),
        ("prism:p=2,l=10,dtype=int8", "first", 161_280 + 840),
        ("prism:p=2,l=10,dtype=int8", "all", 168_960 + 880),
        ("prism:p=2,l=1", "first", 64_512),
        ("prism:p=2,l=1,dtype=fp16", "first", 32_256),
        ("voltage:p=2", "first", 6_352_896),
        ("voltage:p=2", "all", 6_657_024),
    ],
)
def test_vit_b16_moves_the_golden_bytes(
    big_vits: dict[str, Vit], plan: str, needs: str, exchanged: int
) -> None:
    model = big_vits[needs]
    layout = token_layout(Plan.parse(plan), model.shape, 197)
    around = input_bytes(layout, 1, 1) + output_bytes(layout, 1, 1)
    assert counted(model, plan, pixels(model, 1)) - around == exchanged
    if needs == "all":
        assert output_bytes(layout, 1, 1) == 98 * 768 * 4
    else:
        assert output_bytes(layout, 1, 1) == 0
    means = 0 if "voltage" in plan else layout.payload_bytes(len(layout.segments(0)), 1)
    patches = 196 if "voltage" in plan else 98
    assert input_bytes(layout, 1, 1) == patches * 768 + means


def test_a_whole_request_of_vit_b16_is_as_published(big_vits: dict[str, Vit]) -> None:
    model = big_vits["first"]
    inputs = pixels(model, 1)
    # patches in bytes, first means, and the last exchange one way: 61 kB less than two-way at l=10
    assert counted(model, "prism:p=2,l=10", inputs) == 781_824 - 30_720
    assert counted(model, "prism:p=2,l=10,dtype=fp16", inputs) == 428_544 - 15_360
    assert counted(model, "prism:p=2,l=10,dtype=int8", inputs) == 252_824 - 7_720
    assert counted(model, "prism:p=2,l=1,dtype=fp16", inputs) == 110_592 - 1_536
    four = counted(model, "split:p=2", pixels(model, 4))
    assert four == 2 * (150_528 + 7 * 4)


def test_bert_base_moves_the_golden_bytes() -> None:
    sizes = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12}
    model = bert(**sizes, intermediate_size=8, max_position_embeddings=256, fill=torch.zeros)
    rows = 128 * 768 * 4  # the worker's half of the hidden states comes back
    inputs = words(1, 256)
    assert counted(model, "prism:p=2,l=1", inputs) == 512 + 67_584 + rows
    assert counted(model, "voltage:p=2", inputs) == 512 + 8_650_752 + rows
    assert pytest.approx(0.992, abs=5e-4) == 1 - 67_584 / 8_650_752  # the published saving


def test_gpt2_small_moves_the_golden_bytes() -> None:
    sizes = {"n_embd": 768, "n_layer": 12, "n_head": 12, "n_inner": 8, "n_positions": 1024}
    model = gpt2(**sizes, architecture="GPT2Model", fill=torch.zeros)
    rows = 512 * 768 * 4
    assert counted(model, "prism:p=2,l=128", words(1, 1024)) == 2048 + 4_325_376 + rows


# operations


class Silence:
    """Ranks that send zeros: a rank computes the same amount whatever it hears."""

    sent_bytes = 0
    staging: Staging = HOST

    def __init__(self, rank: int, size: int) -> None:
        self.rank, self.size = rank, size

    def begin(self, sends: Mapping[int, Tensor], receives: Mapping[int, int]) -> Pending:
        return Zeros(receives)

    def abort(self) -> None: ...

    def close(self) -> None: ...


class Zeros:
    def __init__(self, sizes: Mapping[int, int]) -> None:
        self._sizes = sizes

    def wait(self, timeout_s: float | None = None) -> dict[int, Tensor]:
        return {rank: torch.zeros(size, dtype=torch.uint8) for rank, size in self._sizes.items()}


@torch.inference_mode()
def operations(model: Model, plan: Plan, tokens: int, rank: int) -> int:
    """Multiplications and additions PyTorch counts while one rank runs its blocks."""
    layout = token_layout(plan, model.shape, tokens)
    width = model.shape.width
    x = torch.zeros(1, layout.own[rank], width)
    heard = torch.zeros(1, layout.heard(rank), width) if layout.heard(rank) else None
    counter = FlopCounterMode(display=False)
    # the counter knows matrix products, not this machine's fused attention
    with sdpa_kernel(SDPBackend.MATH), counter:
        run_blocks(model, layout, rank, whole(x, heard), Silence(rank, layout.ranks), Recorder())
    return counter.get_total_flops()


def slowest(model: Model, plan: str, tokens: int) -> int:
    ranks = range(Plan.parse(plan).p)
    return max(operations(model, Plan.parse(plan), tokens, rank) for rank in ranks)


def test_bert_base_computes_the_published_share() -> None:
    """PRISM's -51.24 % is BERT-base, N = 256, P = 2, L = 1, against one device."""
    sizes = {"hidden_size": 768, "num_hidden_layers": 2, "num_attention_heads": 12}
    model = bert(**sizes, intermediate_size=3072, max_position_embeddings=256, fill=torch.zeros)
    assert model.shape.needs == "all"
    alone = operations(model, LOCAL, 256, 0)
    prism, voltage = slowest(model, "prism:p=2,l=1", 256), slowest(model, "voltage:p=2", 256)
    # twelve blocks cost six times two
    assert alone * 6 == pytest.approx(45.902463e9, rel=1e-6)
    assert prism * 6 == pytest.approx(22.380282e9, rel=1e-6)
    assert voltage * 6 == pytest.approx(26.575110e9, rel=1e-6)
    assert 100 * (1 - prism / alone) == pytest.approx(51.24, abs=0.1)
    assert 100 * (1 - voltage / alone) == pytest.approx(42.11, abs=0.1)
    assert 100 * (1 - voltage / alone) != pytest.approx(51.24, abs=0.1)
    assert 100 * (1 - slowest(model, "prism:p=2,l=10", 256) / alone) != pytest.approx(
        51.24, abs=0.1
    )


@pytest.mark.parametrize(
    "plan",
    [
        "local",
        "voltage:p=2",
        "voltage:p=3,dtype=int8,tap=before,share=3/2/1",
        "prism:p=2,l=3",
        "prism:p=4,l=2,dtype=fp16",
        "prism:p=2,l=5/0/2,share=2/1",
        "prism:p=3,l=4/1/0,tap=before",
    ],
)
@pytest.mark.parametrize("causal", [False, True])
def test_operations_counted_are_operations_computed(plan: str, causal: bool) -> None:
    net, parsed = Net(causal=causal, blocks=3), Plan.parse(plan)
    for rank in range(parsed.p):
        layout = token_layout(parsed, net.shape, 24)
        expected = 2 * sum(layout.macs(rank, block) for block in range(3))
        assert operations(net, parsed, 24, rank) == expected
        longer = token_layout(parsed, net.shape, 24 + parsed.p)
        assert operations(net, parsed, 24, rank) != 2 * 3 * longer.macs(rank)


def test_the_last_block_computes_what_its_head_needs() -> None:
    """Keys and values for all tokens, the rest for one: ViT-B saves 83.6 % of that block."""
    sizes = {**ViT_B16, "intermediate_size": 3072}
    one, two = ({**sizes, "num_hidden_layers": blocks} for blocks in (1, 2))
    full = operations(vit(architecture="ViTModel", **one), LOCAL, 197, 0)
    pruned = operations(vit(**two), LOCAL, 197, 0) - full
    n, d = 197, 768
    assert full == 2 * (12 * n * d * d + 2 * n * n * d)
    assert pruned == 2 * (2 * n * d * d + 10 * d * d + 2 * n * d)
    assert 100 * (1 - pruned / full) == pytest.approx(83.6, abs=0.05)


def test_a_rank_that_owns_no_needed_row_stops_before_the_last_block() -> None:
    every, first = Net(blocks=3), Net(blocks=3, needs="first")
    plan = Plan.parse("prism:p=2,l=4")
    assert operations(first, plan, 24, 1) * 3 == operations(every, plan, 24, 1) * 2
