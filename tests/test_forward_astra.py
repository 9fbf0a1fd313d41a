"""ASTRA from a codebook file to an answer: with a code for every row, the answer is that of one
device; with fewer it is not. Replicas of the class token stay equal; bytes are those of the codes.

Letters: B batch, N tokens, D width.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import checkpoints
import pytest
import torch
from nets import TIMEOUT_S, Net, error, noise, over_loopback, padding, run_layout
from torch import Tensor

from prism_edge.calibrate import sendable, travelling_rows
from prism_edge.errors import ModelError, PlanError
from prism_edge.families import load
from prism_edge.families.codebook_file import Fitted, write_codebooks
from prism_edge.families.model import Model, Tensors
from prism_edge.layout import token_layout
from prism_edge.plan import Plan, Tap
from prism_edge.request import lead, local_rows
from prism_edge.spans import Recorder
from prism_edge.tensors.codebook import Codebooks
from prism_edge.tensors.kmeans import fit
from prism_edge.traffic import wire_bytes
from prism_edge.transport.loopback import loopback_group
from prism_edge.wire import HEADER_BYTES

EXACT, VISIBLE = 1e-5, 1e-2
ALL = 100_000


def fitted(model: Model, prepared: Tensors, g: int, k: int, tap: Tap = "after") -> Codebooks:
    """K codes of every block for the rows of this one request."""
    rows = travelling_rows(
        model, [prepared], tap=tap, samples=ALL, seed=0, tell=lambda text, done, total: None
    )
    return Codebooks(tables=torch.stack([fit(part, g, k) for part in rows]), tap=tap)


# from a file, in every family


def request_of(family: str) -> tuple[Any, Tensors, Tensor | None]:
    """Checkpoint, inputs, and the positions whose answers count."""
    source = torch.Generator().manual_seed(3)
    ids = torch.randint(0, 50, (2, 22), generator=source)
    if family.startswith("vit"):
        pixels = torch.randint(0, 256, (2, 3, 32, 32), generator=source, dtype=torch.uint8)
        kind = "ViTForImageClassification" if family == "vit" else "ViTModel"
        return checkpoints.vit(kind), {"pixel_values": pixels}, None
    if family.startswith("bert"):
        real = padding([22, 13], 22)
        given = {"input_ids": ids, "attention_mask": real.long()}
        if family == "bert":
            return checkpoints.bert(), given, real.bool()
        return checkpoints.bert("BertForSequenceClassification"), given, None
    return checkpoints.gpt2(), {"input_ids": ids}, None


FAMILIES = ["vit", "vit-bare", "bert", "bert-first", "gpt2"]


@pytest.mark.parametrize("p", [2, 3, 4])
@pytest.mark.parametrize("tap", ["after", "before"])
@pytest.mark.parametrize("family", FAMILIES)
def test_with_a_code_for_every_row_the_answer_is_that_of_one_device(
    tmp_path: Path, family: str, tap: Tap, p: int
) -> None:
    made, inputs, real = request_of(family)
    directory = checkpoints.write(tmp_path / "model", *made)
    model = load(directory)
    prepared = model.prepare(inputs)
    rows = int(sendable(model, prepared).sum())
    about = Fitted(samples=rows, seed=0, relative_error=(0.0, 0.0))
    for k in (rows, 4):
        write_codebooks(directory, fitted(model, prepared, 2, k, tap), about)

    def answer(plan: str) -> Tensors:
        outputs = over_loopback(load(directory), plan, inputs)[0]
        masked = real is not None
        return {
            key: out[real] if masked and out.dim() == 3 else out for key, out in outputs.items()
        }

    expected = answer("local")
    exact = answer(f"astra:p={p},g=2,k={rows},tap={tap}")
    lossy = answer(f"astra:p={p},g=2,k=4,tap={tap}")
    for name, value in expected.items():
        assert error(exact[name], value) < EXACT
        assert error(lossy[name], value) > VISIBLE


def test_without_codebooks_that_fit_nothing_is_sent(tmp_path: Path) -> None:
    made, inputs, _ = request_of("vit")
    directory = checkpoints.write(tmp_path / "model", *made)
    model = load(directory)
    about = Fitted(samples=1, seed=0, relative_error=(0.0, 0.0))
    write_codebooks(directory, fitted(model, model.prepare(inputs), 2, 4, "before"), about)
    group = loopback_group(2, TIMEOUT_S)

    def leads(plan: str) -> Tensors:
        return lead(model, "net", Plan.parse(plan), inputs, group[0], Recorder())

    missing = r"astra-g4-k1024.safetensors: no such file \(codebooks there: g=2 k=4\).*makes one"
    with pytest.raises(ModelError, match=missing):
        leads("astra:p=2,g=4")
    with pytest.raises(PlanError, match="ask for tap=before"):
        leads("astra:p=2,g=2,k=4")
    assert group[0].sent_bytes == 0
    over_loopback(model, "astra:p=2,g=2,k=4,tap=before", inputs)


# replicas of the class token


class Coded(Net):
    """A net with the codebooks it is given, computing in their dtype."""

    books: Codebooks

    def embed(self, part: Tensors, start: int, stop: int) -> Tensor:
        return super().embed(part, start, stop).to(self.blocks[0].out.weight.dtype)

    def codebooks(self, g: int, k: int) -> Codebooks:
        assert (self.books.g, self.books.k) == (g, k)
        return self.books


@pytest.mark.parametrize("p", [2, 3, 4])
@pytest.mark.parametrize("pre_norm", [True, False])
def test_law_15_replicas_equal_the_one_class_token(p: int, pre_norm: bool) -> None:
    net = Coded(lead=1, class_token=True, pre_norm=pre_norm, dtype=torch.float64)
    x, real = noise(3, 18, 32), padding([18, 11, 4], 18)
    given = {"x": x, "real": real}
    with torch.inference_mode():
        expected = local_rows(net, given, Recorder())

    def replicas(k: int) -> Tensor:
        """The class token of every rank.  -> [P,B,D]"""
        net.books = fitted(net, given, 4, k)
        layout = token_layout(Plan.parse(f"astra:p={p},g=4,k={k}"), net.shape, 18)
        assert (layout.replicas, layout.own[0]) == (1, 1 + layout.parts[0])
        ranks = torch.split(run_layout(net, layout, x.double(), real), layout.own, dim=1)
        return torch.stack([rank[:, 0] for rank in ranks])

    exact, lossy = replicas(30), replicas(5)  # 17 + 10 + 3 rows can be sent
    for rank in range(p):
        assert error(exact[rank], expected[:, 0]) < 1e-10
        assert error(lossy[rank], expected[:, 0]) > VISIBLE
    assert error(lossy[0], lossy[1]) > VISIBLE  # each rank knows its own tokens exactly
    # what is read from a lossy run is their mean
    pooled = over_loopback(net, f"astra:p={p},g=4,k=5", given)[0]["rows"][:, 0]
    assert error(pooled, lossy.mean(dim=0)) < 1e-5


def test_a_causal_net_has_no_replicas_and_leaks_nothing() -> None:
    net, x = Coded(causal=True), noise(2, 20, 32)
    net.books = Codebooks(tables=noise(4, 8, 16, 4))
    later = x.clone()
    later[:, 11:] += 1.0
    plan = "astra:p=3,g=8,k=16"
    assert token_layout(Plan.parse(plan), net.shape, 20).replicas == 0
    before, after = (over_loopback(net, plan, {"x": given})[0]["rows"] for given in (x, later))
    assert torch.equal(before[:, :11], after[:, :11])
    assert not torch.allclose(before[:, 11:], after[:, 11:], atol=VISIBLE)


# bytes


@pytest.mark.parametrize("p", [2, 3, 4])
@pytest.mark.parametrize("family", FAMILIES)
def test_bytes_counted_are_bytes_computed(tmp_path: Path, family: str, p: int) -> None:
    made, inputs, _ = request_of(family)
    directory = checkpoints.write(tmp_path / "model", *made)
    model = load(directory)
    prepared = model.prepare(inputs)
    tokens = model.tokens(prepared)
    for g, k in ((4, 5), (8, 9)):  # 3 and 4 bits
        write_codebooks(
            directory,
            fitted(model, prepared, g, k),
            Fitted(samples=0, seed=0, relative_error=()),
        )
    masks = 0 if model.real(prepared) is None else 2 * tokens * (p - 1)  # a byte a token and rank
    counts = []
    for text in (f"astra:p={p},g=4,k=5", f"astra:p={p},g=8,k=9"):
        _, group = over_loopback(model, text, inputs)
        counted = sum(rank.sent_bytes for rank in group) - (p - 1) * HEADER_BYTES
        # an image's first codes come as a message of their own; text's are formed by every rank
        expected = wire_bytes(Plan.parse(text), model.shape, 2, tokens) + masks
        assert counted == expected
        counts.append(counted)
    assert counts[0] < counts[1]


@pytest.mark.parametrize("options", ["share=3/1/2", "pieces=2", "share=1/2/1,pieces=3"])
def test_uneven_parts_and_pieces_are_exact_too(options: str) -> None:
    """A piece is packed by itself: it ends on a whole byte."""
    net = Coded(lead=1, class_token=True)
    x, real = noise(5, 18, 32), padding([18, 11, 18, 4, 7], 18)
    given, g = {"x": x, "real": real}, 4
    with torch.inference_mode():
        expected = local_rows(net, given, Recorder())[real.bool()]
    for k, exact in ((53, True), (5, False)):  # rows that can be sent: 17 + 10 + 17 + 3 + 6
        net.books = fitted(net, given, g, k)
        plan = f"astra:p=3,g={g},k={k},{options}"
        outputs, group = over_loopback(net, plan, given)
        assert (error(outputs["rows"][real.bool()], expected) < EXACT) is exact
        counted = sum(rank.sent_bytes for rank in group) - 2 * HEADER_BYTES
        assert counted == wire_bytes(Plan.parse(plan), net.shape, 5, 18) + 2 * real.numel()


@pytest.mark.parametrize(("g", "both_ways"), [(32, 7840), (16, 3920), (1, 246)])
def test_one_exchange_of_vit_b16_takes_the_bytes_of_the_paper(g: int, both_ways: int) -> None:
    net = Coded(width=64, heads=4, blocks=3, tokens=197, lead=1, class_token=True, needs="first")
    net.books = Codebooks(tables=noise(3, g, 1024, 64 // g))
    plan = Plan.parse(f"astra:p=2,g={g}")
    layout = token_layout(plan, net.shape, 197)
    assert layout.own == (99, 99)
    assert layout.exchange_bytes(1) == 2 * both_ways
    x = noise(1, 197, 64)
    _, group = over_loopback(net, str(plan), {"x": x})
    counted = sum(rank.sent_bytes for rank in group) - HEADER_BYTES
    assert counted == x.numel() * 4 + 2 * both_ways + 4 * 64  # its input, two exchanges, a replica


# operations


def test_operations_are_those_of_full_exchange_and_the_search() -> None:
    shape = Net(width=768, blocks=1, tokens=197, class_token=True).shape
    shape = dataclasses.replace(shape, ffn=4 * 768)

    def macs(plan: str, rank: int = 0, **changes: Any) -> int:
        changed = dataclasses.replace(shape, **changes)
        return token_layout(Plan.parse(plan), changed, 197).macs(rank)

    assert macs("voltage:p=2") == 846_273_024  # ViT-B/16, 99 of 197 tokens
    assert macs("astra:p=2,g=32") == 846_273_024 + 98 * 1024 * 768
    assert macs("astra:p=2,g=1,k=256") == 846_273_024 + 98 * 256 * 768
    # nobody hears the last part of a causal model: the leader's
    causal = {"causal": True, "class_token": False}
    assert macs("astra:p=2,g=32", 0, **causal) == macs("voltage:p=2", 0, **causal)
    assert macs("astra:p=2,g=32", 1, **causal) == macs("voltage:p=2", 1, **causal) + 98 * 1024 * 768
