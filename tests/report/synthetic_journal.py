"""A journal such as a demo leaves: phases, a policy that adapts, comparisons, a lost board, power.

Everything is drawn from a seed. ``python synthetic_journal.py FILE`` writes it as a journal file.
"""

from __future__ import annotations

import json
import math
import random
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from prism_edge.energy.journal import Journal
from prism_edge.energy.rows import EventRow, JournalData, RequestRow
from prism_edge.energy.sample import Sample

START_S = 1_790_000_000.0
PRISM, VOLTAGE, SPLIT = "prism:p=2,l=10,dtype=fp16", "voltage:p=2,dtype=fp32", "split:p=2"
IDLE_W, BUSY_W = 4.7, 6.0
FELL_BACK = (
    "prism:p=2,l=10,dtype=fp16 failed (edge-2: connection closed by peer (epoch 3)); "
    "answered locally"
)
ALONE = "voltage:p=2,dtype=fp32 was asked for, but 1 board(s) are in service; answered locally"


@dataclass(frozen=True, kw_only=True)
class Act:
    """One phase: what the policy takes, and the latencies of each way of answering."""

    name: str
    rate_mbps: float
    plan: str
    latencies_s: tuple[float, float, float]  # adaptive, local, voltage
    rounds: int = 24
    boards: int = 2


ACTS = (
    Act(name="link 100 Mbit/s", rate_mbps=100, plan=PRISM, latencies_s=(0.78, 1.47, 2.31)),
    Act(name="link 1 Mbit/s", rate_mbps=1, plan=SPLIT, latencies_s=(1.02, 1.47, 9.5), rounds=12),
    Act(name="link 300 Mbit/s", rate_mbps=300, plan=PRISM, latencies_s=(0.74, 1.47, 1.18)),
    Act(
        name="edge-2 killed",
        rate_mbps=300,
        plan="local",
        latencies_s=(1.48, 1.47, 1.49),
        rounds=7,
        boards=1,
    ),
    Act(name="edge-2 back", rate_mbps=300, plan=PRISM, latencies_s=(0.75, 1.47, 1.19), rounds=20),
)


def synthetic(
    acts: tuple[Act, ...] = ACTS, *, seed: int = 7, model: str = "vit-b16", power: bool = True
) -> JournalData:
    """A journal of ``acts`` on two emulated boards, batch 4; the same seed, the same journal."""
    draw = random.Random(seed)
    now_s = START_S
    requests: list[RequestRow] = []
    events = [
        EventRow(t_s=now_s, kind="engine", detail="ready, torch 2.13.0"),
        EventRow(t_s=now_s + 0.4, kind="epoch", detail="epoch 1: edge-1, edge-2"),
    ]
    busy: list[tuple[float, float, str]] = []
    for number, act in enumerate(acts):
        now_s += 1.0
        detail = json.dumps({"name": act.name, "rate": f"{act.rate_mbps:g} Mbit/s"})
        events.append(EventRow(t_s=now_s, kind="phase", detail=detail))
        if number:
            text = f"rate {act.rate_mbps:g} Mbit/s"
            events.append(EventRow(t_s=now_s + 0.1, kind="link", detail=text))
        if act.boards == 1:
            events.append(
                EventRow(t_s=now_s + 0.9, kind="lost", detail="edge-2: connection closed")
            )
            events.append(EventRow(t_s=now_s + 1.2, kind="epoch", detail="epoch 4: edge-1"))
        for turn in range(act.rounds):
            for way, base_s in enumerate(act.latencies_s):
                latency_s = base_s * math.exp(draw.gauss(0, 0.035)) + (
                    0.25 * base_s if draw.random() < 0.04 else 0.0
                )
                plan = (act.plan, "local", VOLTAGE)[way]
                why = None if way else _why(act, plan)
                if act.boards == 1:
                    why = (FELL_BACK if turn == 0 else _why(act, "local"), why, ALONE)[way]
                    plan = "local"
                row = RequestRow(
                    id=f"{len(requests):012x}",
                    model=model,
                    batch=4,
                    plan=plan,
                    why=why or "asked for by the request",
                    forced=way > 0,
                    start_s=now_s,
                    stop_s=now_s + latency_s,
                    latency_s=latency_s + 0.002,
                    ok=True,
                    error=None,
                    wire_bytes=0 if plan == "local" else 1_714_176,
                    spans=(("compute", 0.0, latency_s * 0.9, None),),
                )
                requests.append(row)
                busy.append((row.start_s, row.stop_s, plan))
                now_s = row.stop_s + draw.uniform(0.02, 0.12)
        if act.name.endswith("back"):
            events.append(EventRow(t_s=now_s - 20, kind="epoch", detail="epoch 5: edge-1, edge-2"))
    samples = _power(busy, START_S, now_s, draw) if power else ()
    return JournalData(
        meta={
            "schema": "1",
            "created": f"{START_S:.3f}",
            "cluster": "lab",
            "kind": "lab",
            "prism_edge": "0.1.0",
            "power.edge-1": "modelled",
            "power.edge-2": "modelled",
        },
        samples=samples,
        requests=tuple(requests),
        events=tuple(sorted(events, key=lambda event: event.t_s)),
    )


def without(journal: JournalData, *names: str) -> JournalData:
    """The journal with these of its parts (samples, requests, events) empty."""
    return replace(journal, **dict.fromkeys(names, ()))


def write_journal(path: Path, journal: JournalData) -> None:
    """``path`` is a journal file that reads back as ``journal``."""
    power = {k.partition(".")[2]: v for k, v in journal.meta.items() if k.startswith("power.")}
    cluster, kind = journal.meta["cluster"], journal.meta["kind"]
    with Journal.open(path, cluster=cluster, kind=kind, power=power) as file:
        for sample in journal.samples:
            file.sample(sample)
        for request in journal.requests:
            file.request(request)
        for event in journal.events:
            file.event(event)


def _why(act: Act, plan: str) -> str:
    predicted_s = act.latencies_s[0] * 0.97
    link = f"link {act.rate_mbps * 0.956:.3g} Mbit/s observed"
    if plan == "local":
        return f"local predicted {predicted_s:.3f} s; no other plan fits"
    return f"{plan} predicted {predicted_s:.3f} s against local 1.460 s (47 % less); {link}"


def _power(
    busy: list[tuple[float, float, str]], first_s: float, last_s: float, draw: random.Random
) -> tuple[Sample, ...]:
    """Ten samples a second and board: idle, and more while the board has a part in a batch."""
    samples = []
    at = 0
    for tick in range(int((last_s - first_s) * 10)):
        t_s = first_s + tick / 10
        while at + 1 < len(busy) and busy[at][1] < t_s:
            at += 1
        start_s, stop_s, plan = busy[at]
        running = start_s <= t_s <= stop_s
        for board, share in (("edge-1", 0.97), ("edge-2", 0.0 if plan == "local" else 0.9)):
            watts = IDLE_W + BUSY_W * (share if running else 0.02) + draw.gauss(0, 0.12)
            when_s = t_s + draw.uniform(0, 0.012)
            samples.append(Sample(board=board, t_s=when_s, power_w=watts, source="modelled"))
    return tuple(sorted(samples, key=lambda sample: sample.t_s))


if __name__ == "__main__":
    write_journal(Path(sys.argv[1]), synthetic())
