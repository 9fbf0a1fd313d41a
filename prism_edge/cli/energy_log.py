"""``prism-edge energy log``: this board's power into a journal, with the conditions at its head."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prism_edge.cli.energy_moments import above_0
from prism_edge.errors import EnergyError

if TYPE_CHECKING:
    from prism_edge.energy.journal import Journal
    from prism_edge.energy.journal_file import Keep
    from prism_edge.energy.sample import Sample
    from prism_edge.energy.supervise import Supervised


def log(
    file: Annotated[Path, typer.Argument(help="the journal to write or to continue")],
    seconds: Annotated[
        float | None, typer.Option(help="end after so long; without, when it is interrupted")
    ] = None,
    source: Annotated[str, typer.Option(help="auto, sysfs, tegrastats or jtop")] = "auto",
    interval: Annotated[float, typer.Option(help="seconds between samples")] = 0.1,
    total: Annotated[str, typer.Option(help="rails that add up to an unknown board")] = "",
    board: Annotated[str, typer.Option(help="its name", show_default="host name")] = "",
    keep_days: Annotated[float, typer.Option(help="of running; older rows go")] = 30.0,
    keep_mb: Annotated[int, typer.Option(help="size; the oldest rows go")] = 1024,
) -> None:
    """Record this board's power until the time is up or Ctrl-C; prints what it depends on.

    Example: prism-edge energy log run.sqlite --seconds 180
    """
    from prism_edge.deploy.conditions import conditions
    from prism_edge.deploy.here import Here
    from prism_edge.energy.choose import choose, open_source
    from prism_edge.energy.journal_file import Keep, be_only_writer
    from prism_edge.energy.rails import declared
    from prism_edge.energy.supervise import Supervised

    for option, value in (
        ("--interval", interval),
        ("--seconds", seconds),
        ("--keep-days", keep_days),
        ("--keep-mb", keep_mb),
    ):
        above_0(option, value)
    name = board or socket.gethostname()
    choice = choose(source)
    if choice.kind == "none":
        raise EnergyError(f"board {name}: no power sensor: {choice.why}")
    rails = declared(total)
    be_only_writer(file)
    head = {
        **conditions(Here(name=name)),
        "source": f"{choice.kind} ({choice.why})",
        "nominal_hz": f"{1 / interval:g}",
    }
    recorder = Recorder(file, name, head, rails)
    supervised = Supervised(
        lambda: open_source(choice.kind, board=name, interval_s=interval, total=rails),
        recorder.lost,
    )
    keep = Keep(days=keep_days, bytes=keep_mb * 2**20)
    asyncio.run(_record(recorder, supervised, seconds, keep))
    if not recorder.samples:
        raise EnergyError(f"board {name}: {choice.kind} gave no sample in this time; record longer")
    print(recorder.summary())


class Recorder:
    """Samples into a journal that is opened when the first one says what they are."""

    def __init__(
        self, file: Path, board: str, head: Mapping[str, str], total: Sequence[str]
    ) -> None:
        self._file = file
        self._board = board
        self._head = head
        self._total = total
        self._journal: Journal | None = None
        self._told: str | None = None
        self.samples = 0
        self._first_s = self._last_s = 0.0

    def lost(self, why: str) -> None:
        """There are no readings for now; before the first one that is an error."""
        if self._journal is None:
            raise EnergyError(why)
        from prism_edge.energy.rows import EventRow

        print(f"no readings: {why}", flush=True)
        self._journal.event(EventRow(t_s=time.time(), kind="power", detail=why))

    def take(self, sample: Sample, keep: Keep) -> None:
        """The sample is on its way to the file."""
        if self._journal is None:
            self._journal = self._open(sample, keep)
            self._first_s = sample.t_s
        self._journal.sample(sample)
        if sample.rails_mw:
            self._journal.rails(sample)
        self.samples += 1
        self._last_s = sample.t_s
        if self._journal.complaint != self._told:
            self._told = self._journal.complaint
            print(self._told or f"{self._file}: is written again", flush=True)

    def close(self) -> None:
        """Everything is in the file."""
        if self._journal is not None:
            self._journal.condition("achieved_hz", self._rate())
            self._journal.close()

    def summary(self) -> str:
        """How much there is."""
        passed_s = self._last_s - self._first_s
        return f"{self._file}: {self.samples} samples in {passed_s:.1f} s, {self._rate()} a second"

    def _rate(self) -> str:
        passed_s = self._last_s - self._first_s
        return f"{(self.samples - 1) / passed_s:.2f}" if passed_s > 0 else "unknown"

    def _open(self, sample: Sample, keep: Keep) -> Journal:
        from prism_edge.energy.journal import Journal
        from prism_edge.energy.rails import total_of, unknown_total

        known = total_of(sample.rails_mw, self._total)
        head = {
            **self._head,
            "rails": ", ".join(sample.rails_mw),
            "rule": sample.rule or unknown_total(sample.rails_mw),
            "rails_added": str(len(known.rails) if known else 0),
            "excludes": known.excludes if known else "unknown",
        }
        print(f"board        {self._board} ({sample.source})")
        for name, said in head.items():
            print(f"{name:12} {said}", flush=True)
        return Journal.open(
            self._file,
            cluster=self._board,
            kind="log",
            power={self._board: sample.source},
            conditions=head,
            keep=keep,
        )


async def _record(
    recorder: Recorder, source: Supervised, seconds: float | None, keep: Keep
) -> None:
    """Until the time is up or a signal says so."""
    running = asyncio.ensure_future(_take_all(recorder, source, keep))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, running.cancel)
    try:
        with suppress(asyncio.CancelledError, asyncio.TimeoutError):
            await asyncio.wait_for(running, seconds)
    finally:
        recorder.close()


async def _take_all(recorder: Recorder, source: Supervised, keep: Keep) -> None:
    async with source:
        async for sample in source:
            recorder.take(sample, keep)
