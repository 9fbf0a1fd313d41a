"""Random nets as models, and requests over loopback: what the laws of the core are checked on.

The nets attend sharply (scores of several units), so that a wrong count or mask is a large error.
Letters: B batch, N tokens, n own tokens, D width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn.functional import gelu

from prism_edge.errors import PeerLostError
from prism_edge.exchange import exchange_of
from prism_edge.exchanges import decode_heard
from prism_edge.families.model import Model, Tensors, TensorSpec
from prism_edge.forward import run_blocks, whole
from prism_edge.layout import Layout, ModelShape, Needs
from prism_edge.plan import Plan
from prism_edge.request import follow, lead
from prism_edge.scatter import encode_first
from prism_edge.spans import Recorder
from prism_edge.tensors.block import Affine, Block, Norm
from prism_edge.tensors.known import own_rows
from prism_edge.transport.loopback import Loopback, loopback_group, run_ranks

TIMEOUT_S = 20.0


class Net(Model):
    """A random net; its input is its embeddings ``x`` [B,N,D] and perhaps a mask ``real`` [B,N]."""

    def __init__(
        self,
        *,
        seed: int = 0,
        width: int = 32,
        heads: int = 4,
        blocks: int = 4,
        tokens: int = 64,
        causal: bool = False,
        pre_norm: bool = True,
        lead: int = 0,
        trail: int = 0,
        class_token: bool = False,
        needs: Needs = "all",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        source = torch.Generator().manual_seed(seed)
        ffn = 2 * width + 8

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=source, dtype=torch.float64).to(dtype)

        def affine(outputs: int, inputs: int, gain: float) -> Affine:
            return Affine(normal(outputs, inputs) * gain / inputs**0.5, normal(outputs) * 0.2)

        def norm() -> Norm:
            return Norm(1 + 0.2 * normal(width), 0.2 * normal(width), 1e-5)

        self.blocks = [
            Block(
                norm1=norm(),
                qkv=affine(3 * width, width, 1.5),
                out=affine(width, width, 1.0),
                norm2=norm(),
                up=affine(ffn, width, 1.0),
                down=affine(width, ffn, 1.0),
                activation=gelu,
                heads=heads,
                scale=(width // heads) ** -0.5,
                pre_norm=pre_norm,
            )
            for _ in range(blocks)
        ]
        self.inputs = (TensorSpec("x", "FP32", (-1, -1, width)),)
        self.outputs = (TensorSpec("rows", "FP32", (-1, -1, width)),)
        self.shape = ModelShape(
            family="net",
            tokens=tokens,
            fixed_tokens=False,
            width=width,
            heads=heads,
            blocks=blocks,
            ffn=ffn,
            causal=causal,
            lead=lead,
            trail=trail,
            class_token=class_token,
            needs=needs,
            token_bytes=4 * width,
            output_fixed=0 if needs == "all" else width,
            output_per_token=width if needs == "all" else 0,
        )

    def prepare(self, inputs: Mapping[str, Tensor]) -> Tensors:
        return dict(inputs)

    def part(self, prepared: Tensors, start: int, stop: int) -> Tensors:
        return prepared

    def tokens(self, prepared: Tensors) -> int:
        return prepared["x"].shape[1]

    def real(self, prepared: Tensors) -> Tensor | None:
        return prepared.get("real")

    def embed(self, part: Tensors, start: int, stop: int) -> Tensor:
        return part["x"][:, start:stop]

    def head(self, rows: Tensor) -> Tensors:
        return {"rows": rows}


def noise(*shape: int, seed: int = 1, dtype: torch.dtype = torch.float32) -> Tensor:
    """Unit normal values that are the same in every run."""
    source = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=source, dtype=torch.float64).to(dtype)


def error(found: Tensor, expected: Tensor) -> float:
    """Largest difference, in units of the spread of what was expected."""
    assert found.shape == expected.shape
    return float((found.double() - expected.double()).abs().max() / expected.double().std())


def padding(lengths: Sequence[int], tokens: int) -> Tensor:
    """1 for the first tokens of each row, 0 for the rest.  -> uint8 [B,N]"""
    return (torch.arange(tokens)[None] < torch.tensor(lengths)[:, None]).to(torch.uint8)


def over_loopback(model: Model, plan: str, inputs: Tensors) -> tuple[Tensors, list[Loopback]]:
    """The outputs of one request, and the transports that carried it."""
    parsed = Plan.parse(plan)
    group = loopback_group(parsed.p, TIMEOUT_S)

    def leader() -> Tensors:
        try:
            return lead(model, "net", parsed, inputs, group[0], Recorder())
        finally:
            group[0].close()  # ends the workers, who wait for the next request

    def worker(rank: int) -> Tensors:
        while True:
            try:
                follow({"net": model}, group[rank])
            except PeerLostError as error:
                if "rank 0 has left" not in str(error):
                    raise
                return {}

    workers = [lambda rank=rank: worker(rank) for rank in range(1, parsed.p)]
    return run_ranks([leader, *workers])[0], group


def rows(model: Model, plan: str, x: Tensor, real: Tensor | None = None) -> Tensor:
    """The output of a net under a plan.  [B,N,D] -> [B,N,D], or [B,1,D] when its head needs one"""
    inputs = {"x": x} if real is None else {"x": x, "real": real}
    return over_loopback(model, plan, inputs)[0]["rows"]


def run_layout(net: Net, layout: Layout, x: Tensor, real: Tensor | None = None) -> Tensor:
    """The same for any sizes, also those no plan asks for; all ranks' rows by position."""
    group = loopback_group(layout.ranks, TIMEOUT_S)
    exchange = exchange_of(layout.plan, net.codebooks)

    @torch.inference_mode()
    def rank_rows(rank: int) -> Tensor:
        others = layout.hears(rank)
        payloads = encode_first(exchange, net, layout, x, real, others)
        first = decode_heard(exchange, layout, rank, payloads, x) if others else None
        pieces = whole(own_rows(layout, rank, x), first, real)
        found = run_blocks(net, layout, rank, pieces, group[rank], Recorder())
        return x[:, :0] if found is None else found

    found = run_ranks([lambda rank=rank: rank_rows(rank) for rank in range(layout.ranks)])
    return torch.cat([found[rank] for rank in layout.order], dim=1)
