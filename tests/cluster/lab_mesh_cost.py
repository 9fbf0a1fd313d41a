"""What WireGuard costs, for docs/mesh.md: the same boards with it and past it, in turns.

python tests/cluster/lab_mesh_cost.py [--rates 20mbit 100mbit] [--rounds 30]
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from prism_edge.bench.arena import cpu_s
from prism_edge.bench.compare import bootstrap, paired_ratios
from prism_edge.bench.random_models import cached, default_cache
from prism_edge.bench.rounds import inputs
from prism_edge.cluster import build, processes
from prism_edge.cluster.lab import Lab
from prism_edge.cluster.shaping import parse_rate
from prism_edge.cluster.tunnel import MESH
from prism_edge.profile.engines import Engines, start_engines
from prism_edge.settings import ModelSettings

PLANS = ("prism:p=2,l=10,dtype=fp16", "split:p=2", "voltage:p=2,dtype=fp32")
MESSAGES = (1 << 10, 64 << 10, 1 << 20)
BATCH = 2


def message_s(engines: Engines, size: int) -> float:
    """Seconds of one exchange of ``size`` bytes each way."""
    said = engines.ask(0, "probe", rank=1, operation="exchange", bytes=size, repeats=1)
    return float(said.fields["seconds"][0])


def request_s(engines: Engines, plan: str) -> float:
    model = engines.models[0]
    raw, _ = inputs(model, BATCH, model.shape.tokens, 0)
    said = engines.ask(0, "run", raw, model=model.name, plan=plan)
    assert said.fields["fallback"] is None, said.fields["fallback"]
    return float(said.fields["engine_s"])


def measure(lab: Lab, ways: dict[str, Engines], rate: str, rounds: int) -> None:
    """Print a row for each message and plan at that rate."""
    for board in lab.state.boards:
        lab.set_link(board.name, rate_bps=parse_rate(rate))
    tunnels = [
        pid
        for pid in build.lab_processes(lab.state)
        if processes.arguments(pid)[:1] == ["wireguard-go"]
    ]
    asks: dict[str, Callable[[Engines], float]] = {
        **{f"{size >> 10} KiB each way": partial(message_s, size=size) for size in MESSAGES},
        **{plan: partial(request_s, plan=plan) for plan in PLANS},
    }
    for what, ask in asks.items():
        times: dict[str, dict[int, float]] = {way: {} for way in ways}
        used_s = 0.0
        for turn in range(-1, rounds):
            for way in random.sample(list(ways), len(ways)):
                before_s = sum(map(cpu_s, tunnels))
                seconds = ask(ways[way])
                if turn >= 0:
                    times[way][turn] = seconds
                    used_s += sum(map(cpu_s, tunnels)) - before_s
        past = bootstrap(list(times["past it"].values()), 0).median
        ratio = bootstrap(paired_ratios(times["through it"], times["past it"]), 0)
        print(
            f"| {rate} | {what} | {past * 1e3:.1f} ms | {ratio.median:.2f} "
            f"[{ratio.low:.2f}, {ratio.high:.2f}] | {used_s / rounds * 1e3:.1f} ms |",
            flush=True,
        )


def main() -> None:
    """See the head of this file."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rates", nargs="+", default=["20mbit", "100mbit", "500mbit"])
    parser.add_argument("--rounds", type=int, default=30)
    options = parser.parse_args()
    model = ModelSettings(name="vit-b16", path=cached("vit-b16", default_cache()))
    with tempfile.TemporaryDirectory() as root:
        lab = Lab.up("mesh-cost", 2, 100e6, wireguard=True, root=Path(root))
        try:
            past = lab.hosts()
            through = [replace(host, address=MESH.address(i)) for i, host in enumerate(past)]
            with start_engines(past, [model]) as one, start_engines(through, [model]) as other:
                one.join()
                other.join()
                print(f"mode {lab.state.mode}, batch {BATCH}, load {os.getloadavg()[0]:.1f}")
                print("| rate | what | past it | through it / past it | CPU of the tunnels |")
                print("|---|---|---|---|---|")
                for rate in options.rates:
                    measure(lab, {"past it": one, "through it": other}, rate, options.rounds)
        finally:
            lab.down()


if __name__ == "__main__":
    main()
