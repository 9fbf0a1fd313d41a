"""Sets the demo's stage on this machine and changes it while requests are being answered."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from prism_edge.cluster.lab import Lab
from prism_edge.cluster.local import LocalHost
from prism_edge.cluster.shaping import parse_rate
from prism_edge.demo.phases import DIGITS, SPEED, Phase, accuracy_phase, loss_phase, speed_phase
from prism_edge.errors import LabError, PrismError, UnreachableError

NAME = "demo"
READY_S = 60.0
Say = Callable[[str], None]


@dataclass(slots=True)
class Outcome:
    """What came of it: results by phase, in order, and where things were written."""

    results: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    journal: Path = Path()
    profile: Path = Path()
    kind: str = ""


def examples_directory() -> Path:
    """The examples of this checkout. Raises ``PrismError`` where prism-edge is only installed."""
    path = Path(__file__).resolve().parents[2] / "examples"
    if not (path / "digits" / "checkpoint").is_dir():
        raise PrismError(
            f"the demo needs the examples of a source checkout ({path} is not there); "
            f"clone the repository and run `make demo` in it"
        )
    return path


def run(work: Path, say: Say) -> Outcome:
    """The whole demo; its lab is gone afterwards, whatever happened."""
    examples = examples_directory()
    shutil.rmtree(work / "run", ignore_errors=True)
    (work / "run").mkdir(parents=True)
    say(
        "models: a ViT-B/16-sized one (random weights, for speed) and a small ViT trained on digits"
    )
    speed = work / "models" / SPEED
    _check([sys.executable, str(examples / "vit_b16" / "make.py"), str(speed)])
    Lab.remove(NAME)
    lab = Lab.up(NAME, 2, parse_rate("100mbit"))
    try:
        say(f"lab ({lab.state.mode}): 2 emulated boards, one core each, 100 Mbit/s, power modelled")
        cluster = work / "run" / "cluster.toml"
        _write_cluster(lab, cluster, {SPEED: speed, DIGITS: examples / "digits" / "checkpoint"})
        say("profile: measuring compute, link and whole requests on both boards")
        _check(
            [sys.executable, "-m", "prism_edge", "profile", "--cluster", str(cluster), "--quick"]
        )
        outcome = Outcome(
            journal=work / "run" / "journal.sqlite",
            profile=work / "run" / "profiles",
            kind=lab.state.mode,
        )
        _serve_and_ask(lab, cluster, examples, outcome, work / "run", say)
        return outcome
    finally:
        lab.down()


def _serve_and_ask(
    lab: Lab, cluster: Path, examples: Path, outcome: Outcome, logs: Path, say: Say
) -> None:
    daemons: dict[str, subprocess.Popen[bytes]] = {}
    hosts = {host.name: host for host in lab.hosts()}

    def start(board: str) -> None:
        daemons[board] = _daemon(hosts[board], cluster, outcome.journal, logs)

    try:
        say("serve: one daemon on each board")
        for board in hosts:
            start(board)
        url = f"http://{hosts['edge-1'].address}:8000"
        with _user(lab.laptop(), url, examples, logs) as user:
            _until_grouped(lab.laptop(), url, boards=2)
            for phase in (
                speed_phase("100 Mbit/s", "100mbit", ones=6, fours=4, full=3),
                speed_phase("slows to 5 Mbit/s", "5mbit", ones=6, fours=3, full=1),
                speed_phase("back at 300 Mbit/s", "300mbit", ones=6, fours=4, full=2),
                accuracy_phase(images=360, batch=8),
            ):
                _run_phase(lab, user, url, phase, outcome, say)
            lost = loss_phase("edge-2 lost, back", 12)
            _mark(lab.laptop(), url, lost.name)
            results = outcome.results[lost.name] = []
            say(f"{lost.name}: kill -9 of its daemon during a request, {len(lost.asks)} requests")
            for number, ask in enumerate(lost.asks):
                user.send(ask.json())
                if number == 3:
                    time.sleep(0.1)  # into the request
                    os.killpg(daemons["edge-2"].pid, signal.SIGKILL)
                    daemons["edge-2"].wait()
                results.append(user.receive())
                if number == 7:
                    start("edge-2")
                    _until_grouped(lab.laptop(), url, boards=2)
            _tell(results, say)
    finally:
        for daemon in daemons.values():
            daemon.terminate()
        for daemon in daemons.values():
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()


def _run_phase(lab: Lab, user: _User, url: str, phase: Phase, outcome: Outcome, say: Say) -> None:
    if phase.rate is not None:
        for board in lab.state.boards:
            lab.set_link(board.name, rate_bps=parse_rate(phase.rate), up=None)
    _mark(lab.laptop(), url, phase.name)
    say(f"{phase.name}: {len(phase.asks)} requests, one after another")
    time.sleep(2.5)  # idle for a moment, as users are: the daemon looks at the link meanwhile
    results = outcome.results[phase.name] = []
    for ask in phase.asks:
        user.send(ask.json())
        results.append(user.receive())
    _tell(results, say)


def _tell(results: list[dict[str, Any]], say: Say) -> None:
    """One line on what the policy did in a phase."""
    chosen: dict[str, int] = {}
    for result in results:
        if result["plan"] is None and result["ok"]:
            chosen[result["ran"]] = chosen.get(result["ran"], 0) + 1
    lost = sum(not result["ok"] for result in results)
    plans = ", ".join(f"{plan} x{count}" for plan, count in chosen.items())
    say(f"    {len(results) - lost} answered, {lost} lost; the policy chose {plans or 'nothing'}")


class _User:
    """The client process on the laptop's side."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process

    def send(self, ask: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(ask).encode() + b"\n")
        self.process.stdin.flush()

    def receive(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise LabError("the demo's client ended unexpectedly; see client.log")
        result: dict[str, Any] = json.loads(line)
        return result


@contextmanager
def _user(laptop: LocalHost, url: str, examples: Path, logs: Path) -> Iterator[_User]:
    argv = [sys.executable, "-m", "prism_edge.demo.client", url, str(examples)]
    with (logs / "client.log").open("wb") as log:
        process = laptop.popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
        try:
            yield _User(process)
        finally:
            process.kill()
            process.communicate()


def _daemon(host: LocalHost, cluster: Path, journal: Path, logs: Path) -> subprocess.Popen[bytes]:
    argv = [sys.executable, "-m", "prism_edge", "serve", "--verbose"]
    argv += ["--cluster", str(cluster), "--board", host.name, "--journal", str(journal)]
    with (logs / f"{host.name}.log").open("ab") as log:
        return host.popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def _until_grouped(laptop: LocalHost, url: str, boards: int) -> None:
    """Returns once ``boards`` are in one group."""
    end_s = time.monotonic() + READY_S
    while time.monotonic() < end_s:
        done = laptop.run([sys.executable, "-c", GROUPED, url], 20.0)
        if done.returncode == 0 and int(done.stdout) >= boards:
            return
        time.sleep(0.3)
    raise UnreachableError(f"{url}: no group of {boards} boards within {READY_S:g} s; see the logs")


GROUPED = (
    "import sys, json, urllib.request as r; "
    "b = json.load(r.urlopen(sys.argv[1] + '/status', timeout=5))['boards']; "
    "print(sum(x['in_group'] for x in b))"
)
MARK = (
    "import sys, urllib.request as r; "
    "r.urlopen(sys.argv[1] + '/cluster/mark', data=sys.argv[2].encode(), timeout=10)"
)


def _mark(laptop: LocalHost, url: str, name: str) -> None:
    laptop.run([sys.executable, "-c", MARK, url, json.dumps({"name": name})], 20.0)


def _write_cluster(lab: Lab, path: Path, models: dict[str, Path]) -> None:
    """The lab's own settings, with the demo's models and tables beside them."""
    text = lab.cluster_toml.read_text(encoding="utf-8")
    # full exchange of four images at 5 Mbit/s takes nearly the 30 s that a request has otherwise
    text += "\n[serve]\ntimeout_s = 50\n"
    for name, directory in models.items():
        text += f'\n[[models]]\nname = "{name}"\npath = {json.dumps(str(directory.resolve()))}\n'
    path.write_text(text, encoding="utf-8")


def _check(argv: list[str], stdout: IO[bytes] | None = None) -> None:
    done = subprocess.run(argv, stdout=stdout, check=False)
    if done.returncode != 0:
        raise PrismError(f"{' '.join(argv[1:4])} ... failed with code {done.returncode}")
