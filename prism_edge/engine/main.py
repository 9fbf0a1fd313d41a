"""The engine process: reads orders from stdin, computes in one thread, reports on stdout.

Started by ``python -m prism_edge.engine.main``. It ends when its driver does.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import queue
import signal
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, BinaryIO

import torch

from prism_edge.echo import Probe, lead_echo
from prism_edge.engine.generation import Generation, Generations
from prism_edge.engine.heap import share_heap, trim_heap
from prism_edge.engine.kernel import attention_kernel
from prism_edge.engine.loaded import describe, manifest_of, warm_up
from prism_edge.engine.measure import measure
from prism_edge.engine.member import Membership, Seat
from prism_edge.engine.memory import memory_of, no_memory
from prism_edge.engine.messages import Message, read_message, write_message
from prism_edge.engine.order import carry_out, extent, not_finite, tensors
from prism_edge.engine.staging import prepare, stage
from prism_edge.errors import InputError, OutOfStepError, PeerLostError, PrismError
from prism_edge.families import load
from prism_edge.families.device import described, usable
from prism_edge.families.model import Model
from prism_edge.plan import Plan
from prism_edge.request import follow, lead
from prism_edge.tables.staging_rule import AUTO
from prism_edge.traffic import wire_bytes
from prism_edge.transport import Transport
from prism_edge.transport.gloo import GlooStore, gloo_available


class Engine:
    """Models in memory, a place in a group, and one thread that computes."""

    def __init__(self, arguments: argparse.Namespace, output: BinaryIO) -> None:
        self._output = output
        self._output_lock = threading.Lock()
        self._jobs: queue.Queue[Message | tuple[Seat, Transport] | None] = queue.Queue()
        self._directories = {
            item.partition("=")[0]: Path(item.partition("=")[2]) for item in arguments.model
        }
        self._models: dict[str, Model] = {}
        self._generations = Generations(self._failed)
        self._dtype: str = arguments.dtype
        self._device, _ = usable(arguments.device, arguments.dtype)
        staging, self._staged = prepare(arguments.staging, self._device)
        self._store = (
            GlooStore(arguments.address) if arguments.leader and gloo_available() else None
        )
        self._membership = Membership(
            arguments.address,
            timeout_s=arguments.timeout,
            join_timeout_s=arguments.join_timeout,
            pace_file=arguments.pace_file,
            staging=staging,
            joined=self._joined,
            failed=lambda seat, text: self._left(seat.epoch, text),
        )

    def report(self, kind: str, arrays: dict[str, Any] | None = None, **fields: Any) -> None:
        with self._output_lock:
            write_message(self._output, Message(kind, fields, arrays or {}))

    def load(self) -> None:
        """Models are in memory and each has answered once; ``ready`` is reported."""
        for name, directory in self._directories.items():
            self._models[name] = load(directory, str(self._device), self._dtype)
            warm_up(name, self._models[name], directory)
        trim_heap()
        models = [describe(name, self._models[name], at) for name, at in self._directories.items()]
        device = described(self._device)
        self._manifest = manifest_of(models, self._directories, device=device, dtype=self._dtype)
        self.report(
            "ready",
            models=models,
            store_port=self._store.port if self._store else None,
            gloo=gloo_available(),
            torch=torch.__version__,
            device=device,
            dtype=self._dtype,
            staging=self._staged,
        )

    def order(self, message: Message) -> None:
        """Take one order; anything that computes goes to the compute thread, in order."""
        fields = message.fields
        if message.kind == "join":
            self._membership.join(Seat(**fields), self._manifest)
        elif message.kind == "leave" and fields["now"]:
            self._membership.leave(fields["epoch"])
            self.report("left", epoch=fields["epoch"], reason="asked to leave")
        elif message.kind == "ping":
            self.report("pong", id=fields["id"])
        elif message.kind == "memory":  # as it is now: a worker in a group takes no jobs
            found = memory_of(self._models.values(), reset=fields["reset"])
            self.report("memory", id=fields["id"], **found)
        else:
            self._jobs.put(message)

    def stop(self) -> None:
        self._jobs.put(None)

    def compute(self) -> None:
        """The compute thread: orders of a driver, or requests of rank 0, until ``stop``. Between
        two orders each generation goes on by a token."""
        while True:
            with contextlib.suppress(queue.Empty):
                job = self._jobs.get(block=not self._generations)
                if job is None:
                    return
                self._carry_out(job)
            self._generations.step()

    def _carry_out(self, job: Message | tuple[Seat, Transport]) -> None:
        if not isinstance(job, Message):
            self._follow(*job)
            return
        try:
            getattr(self, f"_do_{job.kind}")(job)
        except Exception as error:  # the driver must get an answer to every order
            self._failed(job.fields.get("id"), error)

    def _failed(self, number: int | None, error: Exception) -> None:
        """An order is answered with what went wrong."""
        error = no_memory(error) or error
        if not isinstance(error, PrismError):
            traceback.print_exception(error)
        name = type(error).__name__
        self.report("error", id=number, error=name, message=str(error) or name)

    def _joined(self, seat: Seat, group: Transport) -> None:
        if seat.rank > 0:
            self._jobs.put((seat, group))
        self.report("joined", epoch=seat.epoch, rank=seat.rank, size=seat.size)

    def _left(self, epoch: int | None, reason: str) -> None:
        self.report("left", epoch=epoch, reason=reason)

    def _follow(self, seat: Seat, group: Transport) -> None:
        """Requests of rank 0 are served until the group breaks."""
        try:
            while True:
                follow(self._models, group)
        except Exception as error:  # anything at all breaks the group: rank 0 answers by itself
            reason = str(error) or type(error).__name__
            if isinstance(error, OutOfStepError) or not isinstance(error, PeerLostError):
                self._membership.say_why(seat, reason)
            if self._membership.leave(seat.epoch):
                self._left(seat.epoch, reason)

    def _do_run(self, job: Message) -> None:
        name, start_s = job.fields["model"], time.monotonic()
        model, inputs = self._model(name), tensors(job.arrays)
        done = carry_out(
            name,
            Plan.parse(job.fields["plan"]),
            self._membership,
            self._manifest,
            self._left,
            lambda plan, group, recorder: lead(model, name, plan, inputs, group, recorder),
            wrong=not_finite,
        )
        self.report(
            "result",
            {key: tensor.float().numpy() for key, tensor in done.answer.items()},
            id=job.fields["id"],
            plan=str(done.plan),
            fallback=done.fallback,
            wire_bytes=wire_bytes(done.plan, model.shape, *extent(model, inputs)),
            engine_s=time.monotonic() - start_s,
            efforts=done.recorder.efforts_of(done.plan.p),
            spans=[[s.name, s.start_s, s.stop_s - s.start_s, s.bytes] for s in done.recorder.spans],
        )

    def _do_generate(self, job: Message) -> None:
        model = self._model(job.fields["model"])
        self._generations.add(Generation(model, job, self._membership, self._manifest, self.report))

    def _do_cancel(self, job: Message) -> None:
        self._generations.cancel(job.fields["key"])

    def _do_probe(self, job: Message) -> None:
        (group, epoch), fields = self._membership.current(), job.fields
        if group is None:
            raise PeerLostError("no group to probe: no other board is in service")
        probe = Probe(
            operation=fields["operation"],
            ranks=tuple(fields.get("ranks") or (0, fields["rank"])),
            bytes=fields["bytes"],
            loaded=fields.get("loaded", False),
        )
        try:
            echoes = lead_echo(group, probe, fields["repeats"])
        except PeerLostError as error:
            if self._membership.leave(epoch):
                self.report("left", epoch=epoch, reason=str(error))
            raise
        self.report(
            "probed",
            id=fields["id"],
            bytes=fields["bytes"],
            seconds=[echo.seconds for echo in echoes],
            cpu_s=[echo.cpu_s for echo in echoes],
        )

    def _do_measure(self, job: Message) -> None:
        fields = job.fields
        passes = measure(
            self._model(fields["model"]),
            Plan.parse(fields["plan"]),
            fields["rank"],
            fields["batch"],
            fields["tokens"],
            fields["repeats"],
            prefill=fields.get("prefill", False),
            warm_s=fields.get("warm_s", 0.0),
            at_least_s=fields.get("at_least_s", 0.0),
        )
        self.report("measured", id=fields["id"], seconds=passes.counted, warm=passes.warm)

    def _do_kernel(self, job: Message) -> None:
        fields = job.fields
        model, plan = self._model(fields["model"]), Plan.parse(fields["plan"])
        size = fields["rank"], fields["batch"], fields["tokens"]
        kernel = attention_kernel(lambda: measure(model, plan, *size, repeats=0))
        self.report("kernel", id=fields["id"], attention_kernel=kernel)

    def _do_stage(self, job: Message) -> None:
        fields = job.fields
        seconds = stage(
            fields["path"], fields["direction"], fields["bytes"], fields["repeats"], self._device
        )
        self.report("staged", id=fields["id"], seconds=seconds)

    def _do_leave(self, job: Message) -> None:
        self._membership.leave(job.fields["epoch"])
        self.report("left", epoch=job.fields["epoch"], reason="asked to leave")

    def _model(self, name: str) -> Model:
        if name not in self._models:
            raise InputError(
                f"no model {name!r} here (models: {', '.join(self._models) or 'none'})"
            )
        return self._models[name]


def main() -> None:
    """Run until stdin ends or ``stop`` is ordered; a start that fails is reported as ``failed``."""
    parser = argparse.ArgumentParser(prog="python -m prism_edge.engine.main")
    parser.add_argument("--model", action="append", default=[], metavar="NAME=DIR")
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--leader", action="store_true")
    parser.add_argument("--timeout", type=float, default=10.0)
    parser.add_argument("--join-timeout", type=float, default=5.0)
    parser.add_argument("--pace-file", type=Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="fp32")
    parser.add_argument("--staging", default=AUTO)
    arguments = parser.parse_args()
    # an engine without its driver would keep a core and a port: the kernel ends it with its parent
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    for number in (signal.SIGINT, signal.SIGTERM):  # a terminal's or a service manager's, to the
        signal.signal(number, signal.SIG_IGN)  # whole group: it is the driver's to handle
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    share_heap()
    orders, output = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not end up between messages
    # one thread warms up and computes: what the kernels keep for a thread is kept once
    computing = ThreadPoolExecutor(max_workers=1)
    try:
        engine = Engine(arguments, output)
        computing.submit(engine.load).result()
    except PrismError as error:
        write_message(output, Message("failed", {"message": str(error)}))
        sys.exit(1)
    done = computing.submit(engine.compute)
    while (message := read_message(orders)) is not None and message.kind != "stop":
        engine.order(message)
    engine.stop()
    wait([done], timeout=1.0)
    os._exit(0)  # GLOO's threads may be blocked; nothing is left to write


if __name__ == "__main__":
    main()
