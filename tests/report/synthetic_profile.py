"""Cost tables such as a lab of two boards gives: ViT-B/16-sized, 100 Mbit/s, a few requests."""

from __future__ import annotations

import random

from prism_edge.layout import ModelShape
from prism_edge.tables import (
    AccuracyRow,
    BoardInfo,
    ComputeRow,
    LinkRow,
    ModelEntry,
    Profile,
    RequestRow,
)

VIT_B16 = ModelShape(
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
# (own tokens, known tokens): seconds per image
CELLS = {(197, 197): 0.366, (99, 109): 0.183, (98, 108): 0.181, (99, 197): 0.203, (98, 197): 0.2}
REQUESTS = {
    "local": 1.47,
    "split:p=2": 0.79,
    "prism:p=2,l=10,dtype=fp16": 0.78,
    "voltage:p=2,dtype=fp32": 2.35,
}


def synthetic_profile(*, seed: int = 3) -> Profile:
    """The same tables for the same seed; batch sizes 1, 2 and 4."""
    draw = random.Random(seed)

    def near(value: float) -> float:
        return value * (1 + 0.02 * draw.random())

    facts = {"hardware": "emulated", "python": "3.11.2", "torch": "2.13.0"}
    boards = ("edge-1", "edge-2")
    return Profile(
        created="2026-09-21T14:00:00Z",
        version="0.1.0",
        cluster="lab",
        kind="lab",
        boards=tuple(
            BoardInfo(name=name, device="cpu", power="modelled", idle_w=4.8, facts=facts)
            for name in boards
        ),
        models=(ModelEntry(name="vit-b16", fingerprint="0" * 64, shape=VIT_B16),),
        link_description="100 Mbit/s",
        conditions={"machine": "2 cores", "load": "0.4 before, 0.6 after"},
        warnings=("edge-2: compute of batch 4 was not stable",),
        compute=tuple(
            ComputeRow(
                board=board,
                model="vit-b16",
                batch=batch,
                tokens_own=own,
                tokens_known=known,
                dtype="fp32",
                repeat=repeat,
                latency_s=near(batch * per_image_s),
            )
            for board in boards
            for batch in (1, 2, 4)
            for (own, known), per_image_s in CELLS.items()
            for repeat in range(7)
        ),
        link=tuple(
            LinkRow(
                src="edge-1",
                dst="edge-2",
                op=op,
                world=2,
                bytes=size,
                repeat=repeat,
                latency_s=near(0.0006 + 8 * size / 95e6),
            )
            for op in ("exchange", "oneway")
            for size in (4096, 65536, 1 << 20)
            for repeat in range(7)
        ),
        request=tuple(
            RequestRow(
                plan=plan,
                model="vit-b16",
                batch=4,
                tokens=197,
                repeat=repeat,
                latency_s=near(latency_s),
            )
            for plan, latency_s in REQUESTS.items()
            for repeat in range(6)
        ),
        accuracy=(
            AccuracyRow(
                model="vit-b16",
                plan="prism:p=2,l=10,dtype=fp16",
                dataset="digits",
                metric="accuracy",
                value=0.986,
                n=360,
                ci_low=0.968,
                ci_high=0.994,
            ),
        ),
    )
