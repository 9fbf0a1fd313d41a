"""Daemons on the boards of a lab, and what each of them holds of the machine."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from checkpoints import random_fill, vit, write
from daemons import Serving, until
from load import Case

from prism_edge.cluster import network, processes
from prism_edge.cluster.lab import Lab
from prism_edge.families import load
from prism_edge.plan import LOCAL
from prism_edge.request import lead
from prism_edge.spans import Recorder

NONE: Mapping[str, float] = {}
# in /proc/net/tcp: a socket that only the kernel keeps, one whose other end has gone and that
# nobody closed
TIME_WAIT, CLOSE_WAIT = "06", "08"


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What one board holds: processes by all of them, the rest by its agent and its engine."""

    processes: int
    files: int
    threads: int
    sockets: int  # of TCP, as ``ss -tan`` lists them, but TIME-WAIT
    abandoned: int  # of these
    agent_mib: float
    engine_mib: float


class Boards:
    """One daemon a board, the leader first; ``limits``: of ``[serve]``."""

    def __init__(self, lab: Lab, directory: Path, limits: Mapping[str, float] = NONE) -> None:
        self.lab = lab
        self.journal = directory / "journal.sqlite"
        self.model = wide_vit(directory / "net")
        settings = directory / "cluster.toml"
        assert "[serve]" not in lab.cluster_toml.read_text()
        lines = ["[serve]", *(f"{key} = {value}" for key, value in limits.items()), ""]
        settings.write_text(f"{lab.cluster_toml.read_text()}\n" + "\n".join(lines))
        self._argv = ["--cluster", str(settings), "--model", f"net={self.model}"]
        self._hosts = {host.name: host for host in lab.hosts()}
        self.names = list(self._hosts)
        self.daemons: dict[str, Serving] = {}
        for name in self.names:
            self.start(name)

    @property
    def leader(self) -> Serving:
        return self.daemons[self.names[0]]

    def start(self, name: str) -> Serving:
        """A daemon of the board's; of the one before it nothing is left."""
        if name in self.daemons:
            self.daemons[name].end()
        journal = ["--journal", str(self.journal)] if name == self.names[0] else []
        host = self._hosts[name]
        self.daemons[name] = Serving(*self._argv, "--board", name, *journal, host=host)
        return self.daemons[name]

    def end(self) -> None:
        for daemon in self.daemons.values():
            daemon.end()

    def together(self) -> float:
        """How long it took until all boards were in service."""
        start_s = time.monotonic()
        self.leader.until_ready()
        until(
            lambda: all(board["in_group"] for board in self.leader.status()["boards"]),
            "a group of all boards",
        )
        return time.monotonic() - start_s

    def until_next_engine(self, name: str, before: int) -> None:
        """The board has another engine than ``before``, which is ready."""
        daemon = self.daemons[name]
        until(lambda: daemon.engine() != before, f"another engine on {name}")
        daemon.until_ready()

    def cases(self, plans: Sequence[str]) -> list[Case]:
        """One image for each plan, with the model's own answer to it."""
        model = load(self.model)
        fill = torch.Generator().manual_seed(7)
        found = []
        for plan in plans:
            image = torch.randint(0, 256, (1, 3, 64, 64), generator=fill, dtype=torch.uint8)
            answer = lead(model, "net", LOCAL, {"pixel_values": image}, None, Recorder())
            logits = answer["logits"].numpy()
            found.append(Case(pixels=image.numpy(), logits=logits, plan=plan))
        return found

    def held(self) -> dict[str, Held]:
        return {name: self._held(name) for name in self.names}

    def _held(self, name: str) -> Held:
        daemon, mark = self.daemons[name], network.marker_of(self.lab.state, name)
        agent, engine = daemon.process.pid, daemon.engine()
        lines = Path(f"/proc/{agent}/net/tcp").read_text().splitlines()[1:]
        sockets = [state for line in lines if (state := line.split()[3]) != TIME_WAIT]
        return Held(
            processes=sum(processes.marker(pid) == mark for pid in processes.pids()),
            files=sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in (agent, engine)),
            threads=sum(len(os.listdir(f"/proc/{pid}/task")) for pid in (agent, engine)),
            sockets=len(sockets),
            abandoned=sockets.count(CLOSE_WAIT),
            agent_mib=resident_mib(agent),
            engine_mib=resident_mib(engine),
        )


def wide_vit(directory: Path) -> Path:
    """Small enough to be local in no time, wide enough to be slow over a thin link."""
    wild = random_fill()
    config, weights = vit(
        fill=lambda *shape: wild(*shape) / 6,
        hidden_size=192,
        num_hidden_layers=6,
        num_attention_heads=3,
        intermediate_size=384,
        image_size=64,
    )
    return write(directory, config, weights)


def resident_mib(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def send(number: signal.Signals, *pids: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
