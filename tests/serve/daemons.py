"""Real daemons in the hands of a test: started as a user would, asked over HTTP, never left."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, TypeVar

import httpx

from prism_edge.cluster.local import LocalHost, kill_group
from prism_edge.deploy.certificates import certificates
from prism_edge.serve.datatypes import Array
from prism_edge.serve.oip_client import Daemon, Reply
from prism_edge.serve.tls import trusting
from prism_edge.settings import read_settings

PATIENCE_S = 60.0  # the longest anything healthy takes on a busy machine
Found = TypeVar("Found")
HERE = LocalHost(name="here")


def until(
    condition: Callable[[], Found | None], what: str, patience_s: float = PATIENCE_S
) -> Found:
    """The first truth ``condition`` gives."""
    deadline_s = time.monotonic() + patience_s
    while time.monotonic() < deadline_s:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"not within {patience_s:g} s: {what}")


class Serving:
    """One ``prism-edge serve``, wherever ``host`` runs it."""

    def __init__(
        self,
        *argv: str,
        host: LocalHost = HERE,
        token: str | None = None,
        authority: Path | None = None,
    ) -> None:
        self.token = token
        self.authority = authority
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed by end()
        self._url: str | None = None
        self.process = host.popen(
            [sys.executable, "-m", "prism_edge", "serve", *argv, "--verbose"],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
        )

    def log(self) -> str:
        """What it has printed so far."""
        size = os.fstat(self._log.fileno()).st_size
        return os.pread(self._log.fileno(), size, 0).decode(errors="replace")

    @property
    def url(self) -> str:
        """Where it serves, once it says so."""
        if self._url is None:
            self._url = until(self._said, f"an address; the daemon said: {self.log()}")
        return self._url

    def _said(self) -> str | None:
        marker = "serving on "
        assert self.process.poll() is None, f"it ended: {self.log()}"
        lines = [line for line in self.log().splitlines(True) if marker in line]
        whole = lines and lines[0].endswith("\n")
        return lines[0].split(marker)[1].strip() if whole else None

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def get(self, path: str) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        # without TLS: to read who signs the Internet's certificates takes longer than to ask
        verify = self.authority is not None and trusting(self.authority)
        return httpx.get(
            self.url + path, headers=headers, verify=verify, trust_env=False, timeout=PATIENCE_S
        )

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self.get("/status").json()
        return found

    def until_ready(self) -> Serving:
        def ready() -> bool:
            assert self.process.poll() is None, f"it ended: {self.log()}"
            return self.get("/v2/health/ready").status_code == 200

        until(ready, f"ready; the daemon said: {self.log()}")
        return self

    def infer(self, model: str, inputs: Mapping[str, Array], plan: str | None = None) -> Reply:
        with Daemon(
            self.url, token=self.token, authority=self.authority, timeout_s=PATIENCE_S
        ) as daemon:
            return daemon.infer(model, inputs, {} if plan is None else {"plan": plan})

    def engine(self) -> int:
        """The process id of its engine, once it has one that runs the engine's code."""
        return until(self._engine, f"an engine; the daemon said: {self.log()}")

    def _engine(self) -> int | None:
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        for pid in path.read_text().split():
            with contextlib.suppress(OSError):
                if b"prism_edge.engine.main" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    return int(pid)
        return None

    def ended(self) -> int:
        """Its exit code."""
        return self.process.wait(timeout=PATIENCE_S)

    def stop(self) -> int:
        """The exit code after being asked to stop."""
        self.process.send_signal(signal.SIGTERM)
        return self.ended()

    def end(self) -> None:
        """Nothing of it is left."""
        kill_group(self.process)
        self._log.close()


@contextmanager
def serving(*argv: str) -> Iterator[Serving]:
    daemon = Serving(*argv)
    try:
        yield daemon
    finally:
        daemon.end()


class Pair:
    """A leader and one worker; the worker can be lost and started again."""

    def __init__(
        self, directory: Path, leader: Serving, start_worker: Callable[[], Serving]
    ) -> None:
        self.directory = directory
        self.leader = leader
        self._start_worker = start_worker
        self.worker = start_worker()

    def in_group(self) -> bool:
        return all(board["in_group"] for board in self.leader.status()["boards"])

    def together(self) -> Pair:
        """Once both boards are in service."""
        until(
            self.in_group,
            f"a group; leader: {self.leader.log()[-3000:]} worker: {self.worker.log()[-3000:]}",
        )
        return self

    def start_worker_again(self) -> None:
        self.worker.end()
        self.worker = self._start_worker()


class Asked:
    """A request under way in a thread of its own."""

    def __init__(self, ask: Callable[[], Found]) -> None:
        self._future: Future[Any] = Future()
        self._thread = threading.Thread(target=self._run, args=(ask,), daemon=True)
        self._thread.start()

    def _run(self, ask: Callable[[], Found]) -> None:
        try:
            self._future.set_result(ask())
        except BaseException as error:  # the test's thread raises it
            self._future.set_exception(error)

    @property
    def done(self) -> bool:
        return self._future.done()

    def answer(self) -> Any:
        answer = self._future.result(timeout=PATIENCE_S)
        self._thread.join()
        return answer


def busy(daemon: Serving) -> None:
    """Once a batch is being computed."""
    until(lambda: daemon.status()["busy"], "a batch under way")


def cluster_toml(
    path: Path,
    *,
    models: Mapping[str, Path],
    port: int,
    addresses: Sequence[str] = ("127.0.0.1", "127.0.0.2"),
    names: str = "ab",
    **limits: float | str,
) -> Path:
    """Settings of boards a, b, ... without power, of which a leads."""
    lines = ["[cluster]", 'name = "test"', f'leader = "{names[0]}"', 'kind = "lab"']
    for name, address in zip(names, addresses, strict=True):
        lines += ["[[boards]]", f'name = "{name}"', f'address = "{address}"', 'power = "none"']
    for model, directory in models.items():
        lines += ["[[models]]", f'name = "{model}"', f'path = "{directory}"']
    lines += ["[serve]", f"port = {port}", *(f"{k} = {v!r}" for k, v in limits.items())]
    path.write_text("\n".join(lines) + "\n")
    return path


def certify(directory: Path, settings: Path) -> None:
    """``authority.crt``, and each board's certificate and key by its name."""
    made = certificates(read_settings(settings), directory, datetime.now(timezone.utc))
    (directory / "authority.crt").write_bytes(made.authority)
    for board, (certificate, key) in made.boards.items():
        (directory / f"{board}.crt").write_bytes(certificate)
        (directory / f"{board}.key").write_bytes(key)
        (directory / f"{board}.key").chmod(0o600)


@contextmanager
def pair(
    directory: Path,
    models: Mapping[str, Path],
    *,
    tls: bool = False,
    host: LocalHost = HERE,
    **limits: float,
) -> Iterator[Pair]:
    """Boards a and b over loopback; the worker's settings name the port the leader found."""
    token, file = "sesame", directory / "token"
    file.write_text(f"{token}\n")
    file.chmod(0o600)
    trust: Any = {
        "host": host,
        "token": token,
        "authority": directory / "authority.crt" if tls else None,
    }
    if tls:
        certify(directory, cluster_toml(directory / "plain.toml", models=models, port=0))

    def settings(board: str, port: int) -> list[str]:
        path = directory / f"{board}.toml"
        files = {
            "certificate": f"{board}.crt",
            "certificate_key": f"{board}.key",
            "authority": "authority.crt",
        }
        more = {**limits, **(files if tls else {})}
        cluster_toml(path, models=models, port=port, token_file=str(file), **more)
        return ["--cluster", str(path), "--board", board]

    journal = ("--journal", str(directory / "journal.sqlite"))
    leader = Serving(*settings("a", 0), *journal, **trust)
    found = None
    try:
        worker = settings("b", leader.port)
        found = Pair(directory, leader, lambda: Serving(*worker, **trust))
        leader.until_ready()
        yield found.together()
    finally:
        leader.end()
        if found is not None:
            found.worker.end()
