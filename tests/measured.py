"""Profiles made of arithmetic, so that a test knows every number in them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from prism_edge import tables
from prism_edge.layout import ModelShape, batch_shares, block_macs, token_layout
from prism_edge.plan import LOCAL, Plan

VIT = ModelShape(
    family="vit",
    tokens=197,
    fixed_tokens=True,
    width=768,
    heads=12,
    blocks=12,
    ffn=3072,
    causal=False,
    lead=1,
    trail=0,
    class_token=True,
    needs="first",
    token_bytes=768,
    output_fixed=1000,
    output_per_token=0,
)
BERT = ModelShape(
    family="bert",
    tokens=512,
    fixed_tokens=False,
    width=768,
    heads=12,
    blocks=12,
    ffn=3072,
    causal=False,
    lead=1,
    trail=1,
    class_token=True,
    needs="first",
    token_bytes=2,
    output_fixed=2,
    output_per_token=0,
)
GPT2 = ModelShape(
    family="gpt2",
    tokens=1024,
    fixed_tokens=False,
    width=768,
    heads=12,
    blocks=12,
    ffn=3072,
    causal=True,
    lead=1,
    trail=0,
    class_token=False,
    needs="last",
    token_bytes=2,
    output_fixed=50257,
    output_per_token=0,
)

MACS_PER_S = 50e9
OVERHEAD_S = 0.004
ALPHA_S = 0.001
BANDWIDTH_BPS = 100e6
REPEATS = (1.0, 0.98, 1.02, 0.99, 1.01)  # their median is 1


def compute_s(shape: ModelShape, own: int, known: int, batch: int, speed: float = 1.0) -> float:
    """What a board of ``speed`` takes in these profiles: linear in operations and in the batch."""
    macs = batch * shape.blocks * block_macs(shape, own, known)
    return OVERHEAD_S + macs / MACS_PER_S / speed


def plans(boards: int, segments: Iterable[int]) -> list[Plan]:
    found = [LOCAL]
    for p in range(2, boards + 1):
        found += [Plan(method="split", p=p), Plan(method="voltage", p=p, dtype="fp32")]
        found += [Plan(method="prism", p=p, l=l, dtype="fp16") for l in segments]  # noqa: E741
    return found


def profile(
    shape: ModelShape = VIT,
    *,
    boards: int = 2,
    batches: Sequence[int] = (1, 2, 4, 8),
    segments: Sequence[int] = (1, 10),
    tokens: Sequence[int] = (),
    speeds: Sequence[float] = (),
    bandwidth_bps: float = BANDWIDTH_BPS,
    half_duplex: bool = False,
    idle_w: float | None = None,
    busy_w: float | None = None,
) -> tables.Profile:
    """Cells of every plan of ``plans``, on every board, with the link's line to the letter."""
    names = [f"edge-{number + 1}" for number in range(boards)]
    speed = dict(zip(names, speeds or [1.0] * boards, strict=True))
    cells = set()
    for length in tokens or (shape.tokens,):
        for plan in plans(boards, segments):
            for batch in batches:
                if plan.method == "split" and batch < plan.p:
                    continue
                layout = token_layout(plan, shape, length)
                for rank in range(plan.p):
                    if plan.exchanges:
                        cells.add((layout.own[rank], layout.known(rank), batch))
                    else:
                        share = batch_shares(plan, batch)[rank if plan.method == "split" else 0]
                        cells.add((length, length, share))
    compute = []
    for name in names:
        for own, known, batch in sorted(cells):
            for repeat, factor in enumerate(REPEATS):
                latency_s = factor * compute_s(shape, own, known, batch, speed[name])
                compute.append(
                    tables.ComputeRow(
                        board=name,
                        model="net",
                        batch=batch,
                        tokens_own=own,
                        tokens_known=known,
                        dtype="fp32",
                        repeat=repeat,
                        latency_s=latency_s,
                        energy_j=None if busy_w is None else busy_w * latency_s,
                    )
                )
    link = [
        tables.LinkRow(
            src=names[0],
            dst=name,
            op=op,
            world=2,
            bytes=size,
            repeat=repeat,
            latency_s=(ALPHA_S if op == "exchange" else ALPHA_S / 2)
            + 8 * size * (2 if half_duplex and op == "exchange" else 1) / bandwidth_bps,
        )
        for name in names[1:]
        for op in ("exchange", "oneway")
        for size in (4096, 65536, 1048576)
        for repeat in range(3)
    ]
    return tables.Profile(
        created="2025-01-02T03:04:05+00:00",
        version="0.1.0",
        cluster="paper",
        kind="boards",
        boards=tuple(
            tables.BoardInfo(name=name, device="cpu", idle_w=idle_w, facts={"torch": "2.1"})
            for name in names
        ),
        models=(tables.ModelEntry(name="net", fingerprint="f00d", shape=shape),),
        link_description="100mbit",
        sweep={"batches": "1,2,4,8"},
        conditions={"started": "then"},
        warnings=("made of arithmetic",),
        compute=tuple(compute),
        link=tuple(link),
    )
