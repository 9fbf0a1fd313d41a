"""One ``prism-edge serve``: engine, agent and HTTP edge put together, and taken down in order."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from prism_edge.energy.journal import Journal
from prism_edge.energy.journal_file import be_only_writer
from prism_edge.energy.sample import Sample
from prism_edge.engine.client import engine_argv, local_popen
from prism_edge.errors import InputError, ModelError, SettingsError
from prism_edge.serve.accept import Server
from prism_edge.serve.body import read_body
from prism_edge.serve.cluster import Cluster
from prism_edge.serve.connection import Connection
from prism_edge.serve.convenience import Convenient
from prism_edge.serve.decide import Decider
from prism_edge.serve.guard import json_response
from prism_edge.serve.history import History
from prism_edge.serve.http import create_app
from prism_edge.serve.leader import Leader
from prism_edge.serve.listen import listen
from prism_edge.serve.metrics import Metrics
from prism_edge.serve.notify import Notifier, keep_told
from prism_edge.serve.own_door import Door, own_url
from prism_edge.serve.power import keep_sampling
from prism_edge.serve.record import Record
from prism_edge.serve.release import release_of
from prism_edge.serve.selftest import self_test
from prism_edge.serve.snapshot import snapshots
from prism_edge.serve.staging import measured_staging
from prism_edge.serve.supervisor import Supervisor
from prism_edge.serve.tls import check_certificate
from prism_edge.serve.watch import Watch
from prism_edge.serve.worker import Worker
from prism_edge.settings import Settings

LOG = logging.getLogger(__name__)
DRAIN_S = 20.0
LAST_BYTES_S = 5  # for clients to take replies that are ready
TICK_S = 0.25


async def serve(settings: Settings, board: str, journal_path: Path | None) -> None:
    """Serve as ``board`` until SIGTERM or SIGINT, then drain; a second signal stops at once.

    Raises ``SettingsError``, ``ModelError`` or ``JournalError`` when it cannot start.
    """
    own, limits = settings.board(board), settings.serve
    token, metrics = _token(limits.token_file), Metrics()
    release, notifier = release_of(Path(sys.prefix)), Notifier(os.environ, os.getpid())
    if limits.certificate is not None and limits.certificate_key is not None:
        check_certificate(limits.certificate, limits.certificate_key)
    host = limits.host or own.address
    if board != settings.leader and not limits.port:
        raise SettingsError("serve: port = 0, but a worker finds its leader by the port; name one")
    listener = listen(host, limits.port)
    argv = engine_argv(
        settings.models,
        address=settings.data_address(board),
        leader=board == settings.leader,
        timeout_s=limits.exchange_timeout_s,
        pace_file=settings.link.pace_file,
        device=own.device,
        dtype=own.dtype,
        staging=measured_staging(settings, own),
    )
    record = Record(None, metrics)
    service: Leader | Worker
    cluster: Cluster | None = None
    if board == settings.leader:
        record = Record(_journal(settings, journal_path), metrics)
        cluster = Cluster(settings, record, metrics)
        service = Leader(settings, cluster, Decider(settings, record.noted), record, metrics)
    else:
        service = Worker(settings, board, token)
    supervisor = Supervisor(
        argv,
        local_popen,
        service.engine_event,
        test=lambda engine, ready: self_test(engine, ready, limits.timeout_s),
    )
    service.engine = supervisor
    if cluster is not None:
        cluster.engine = supervisor
    watch = Watch(
        snapshots(service, record.history, cluster=settings.name, board=board, release=release)
    )
    directories = {model.name: model.path for model in settings.models}
    convenient = Convenient(service, directories, limits.queue)
    app = create_app(
        convenient,
        writer=convenient,
        token=token,
        max_body_bytes=limits.max_body_bytes,
        metrics=metrics,
        release=release,
        watch=watch,
    )
    if cluster is not None:
        _add_cluster(app, cluster, record)
    server = Server(
        uvicorn.Config(
            app,
            http=Connection,
            ws="none",
            log_level="warning",
            lifespan="off",
            timeout_graceful_shutdown=LAST_BYTES_S,
            ssl_certfile=limits.certificate,
            ssl_keyfile=limits.certificate_key,
        )
    )
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    door = Door(board, service.readiness)
    sampled: Callable[[Sample], None] = record.sample
    if isinstance(service, Worker):
        sampled = _also(service.sample, record.history)
    tasks = [
        asyncio.create_task(_keep(supervisor, board)),
        serving,
        asyncio.create_task(service.run()),
        asyncio.create_task(keep_told(notifier, door.readiness, supervisor.alive)),
        asyncio.create_task(door.ask(own_url(limits.scheme, listener), token)),
        asyncio.create_task(
            keep_sampling(own, sampled, lambda text: record.event("power", f"{board}: {text}"))
        ),
    ]
    if cluster is not None:
        tasks.append(asyncio.create_task(_tick(cluster)))
    if release is not None:
        print(f"{board}: release {release}", flush=True)
        record.event("release", release)
    port = listener.getsockname()[1]
    print(f"{board}: serving on {limits.scheme}://{host}:{port}", flush=True)
    try:
        await _until_stopped(tasks, service, notifier, watch)
        server.should_exit = True
        await serving
    finally:
        await end(tasks)
        await supervisor.stop()
        convenient.close()
        record.close()


async def _until_stopped(
    tasks: list[asyncio.Task[None]],
    service: Leader | Worker,
    notifier: Notifier,
    watch: Watch,
) -> None:
    """Returns after a signal and a drain; raises what a task raised."""
    loop, asked = asyncio.get_running_loop(), asyncio.Event()

    def stop() -> None:
        if asked.is_set():
            LOG.warning("second signal: stopping now")
            os._exit(130)
        asked.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    waiter = asyncio.create_task(asked.wait())
    done, _ = await asyncio.wait([waiter, *tasks], return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        if task is not waiter and not task.cancelled() and task.exception() is not None:
            waiter.cancel()
            task.result()
    notifier.say("STOPPING=1")
    service.draining = True
    watch.close()
    await service.drain(DRAIN_S)


async def end(tasks: Iterable[asyncio.Task[None]]) -> None:
    """The tasks are over, whatever they were doing."""
    pending = set(tasks)
    while pending:  # before Python 3.12 wait_for may swallow a cancellation: ask again
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=0.2)


def _also(sample: Callable[[Sample], None], history: History) -> Callable[[Sample], None]:
    """``sample``, and the board's own page hears of it too."""

    def both(reading: Sample) -> None:
        sample(reading)
        history.sample(reading, time.monotonic())

    return both


async def _keep(supervisor: Supervisor, board: str) -> None:
    """The engine runs, until it cannot be started; then the board is named."""
    try:
        await supervisor.run()
    except ModelError as error:
        raise ModelError(f"board {board}: {error}") from error


async def _tick(cluster: Cluster) -> None:
    while True:
        cluster.tick()
        await asyncio.sleep(TICK_S)


def _add_cluster(app: FastAPI, cluster: Cluster, record: Record) -> None:
    """Where workers say hello, and where a script marks the phase it begins."""

    async def hello(request: Request) -> Response:
        body = await read_body(request, 1 << 20)
        try:
            said = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise InputError(f"not a hello: {error}") from error
        if not isinstance(said, dict):
            raise InputError("not a hello: expected a JSON object")
        return json_response(200, cluster.hello(said))

    async def mark(request: Request) -> Response:
        detail = (await read_body(request, 1 << 16)).decode(errors="replace")
        record.event("phase", detail)
        return json_response(200, {"marked": detail})

    app.add_route("/cluster/hello", hello, methods=["POST"])
    app.add_route("/cluster/mark", mark, methods=["POST"])


def _token(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        mode = path.stat().st_mode & 0o077
        token = path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise SettingsError(f"token file {path}: {error.strerror}") from error
    if mode:
        raise SettingsError(f"token file {path} is readable by others; chmod 600 {path}")
    return token


def _journal(settings: Settings, path: Path | None) -> Journal | None:
    if path is None:
        return None
    be_only_writer(path)
    labels = {board.name: board.power for board in settings.boards}
    return Journal.open(path, cluster=settings.name, kind=settings.kind, power=labels)
