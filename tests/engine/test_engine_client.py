"""A driver always gets an answer or an error, whatever becomes of its engine.

The engines here are small scripts that speak the messages; no torch, no model.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from types import FrameType

import numpy as np
import pytest

from prism_edge.engine import client
from prism_edge.engine.client import EngineClient, EngineGoneError, engine_argv, local_popen
from prism_edge.engine.messages import Message
from prism_edge.errors import (
    ClusterError,
    InputError,
    ModelError,
    PeerLostError,
    PlanError,
    PrismError,
)
from prism_edge.settings import ModelSettings

LIMIT_S = 60.0
PREAMBLE = """
import sys
from prism_edge.engine.messages import Message, read_message, write_message
orders, out = sys.stdin.buffer, sys.stdout.buffer
def say(kind, arrays=None, **fields): write_message(out, Message(kind, fields, arrays or {}))
"""
ECHO = """
say("ready", models=[])
while (order := read_message(orders)) is not None and order.kind != "stop":
    f = order.fields
    if order.kind == "fail": say("error", id=f["id"], error=f["error"], message=f["message"])
    elif order.kind == "die": sys.exit(7)
    elif order.kind == "tell": say("left", epoch=f["epoch"])
    elif order.kind == "late": say("result", id=f["id"] + 1000)
    elif order.kind != "swallow": say("result", order.arrays, id=f["id"], order=order.kind)
"""


class Driver:
    """A client and everything it was told."""

    def __init__(self, script: str) -> None:
        self.events: list[Message] = []
        self._changed = threading.Condition()
        self.client = EngineClient(
            local_popen([sys.executable, "-c", PREAMBLE + script]), self._note
        )

    def _note(self, message: Message) -> None:
        with self._changed:
            self.events.append(message)
            self._changed.notify_all()

    def wait_for(self, kind: str) -> Message:
        with self._changed:
            found = self._changed.wait_for(
                lambda: next((e for e in self.events if e.kind == kind), None), LIMIT_S
            )
        assert found is not None, f"no {kind} among {[event.kind for event in self.events]}"
        return found


@pytest.fixture
def drive() -> Iterator[Callable[[str], Driver]]:
    drivers: list[Driver] = []

    def start(script: str) -> Driver:
        drivers.append(Driver(script))
        return drivers[-1]

    yield start
    for driver in drivers:
        driver.client.kill()
        driver.client.close()


def test_answers_find_their_orders(drive: Callable[[str], Driver]) -> None:
    client = drive(ECHO).client
    futures = [client.ask("run", {"x": np.full(2, i)}, model="m") for i in range(5)]
    for index, future in enumerate(futures):
        assert future.result(LIMIT_S).arrays["x"].tolist() == [index, index]


@pytest.mark.parametrize("kind", [InputError, PlanError, ModelError, PeerLostError])
def test_an_engines_error_is_raised_as_what_it_was(
    drive: Callable[[str], Driver], kind: type[PrismError]
) -> None:
    future = drive(ECHO).client.ask("fail", error=kind.__name__, message="because")
    with pytest.raises(kind, match=r"^because$"):
        future.result(LIMIT_S)


@pytest.mark.parametrize("name", ["KeyError", "EngineGoneError", "SystemExit"])
def test_an_error_of_another_kind_is_a_cluster_error(
    drive: Callable[[str], Driver], name: str
) -> None:
    future = drive(ECHO).client.ask("fail", error=name, message="odd")
    with pytest.raises(ClusterError, match="odd") as raised:
        future.result(LIMIT_S)
    assert type(raised.value) is ClusterError


def test_what_answers_no_order_is_an_event(drive: Callable[[str], Driver]) -> None:
    driver = drive(ECHO)
    assert driver.wait_for("ready").fields == {"models": []}
    driver.client.send("tell", epoch=4)
    assert driver.wait_for("left").fields == {"epoch": 4}


def test_an_answer_to_nothing_is_dropped(drive: Callable[[str], Driver]) -> None:
    driver = drive(ECHO)
    lost = driver.client.ask("late")
    assert driver.client.ask("run").result(LIMIT_S).fields["order"] == "run"
    assert not lost.done()
    assert [event.kind for event in driver.events] == ["ready"]


def test_an_engine_that_dies_fails_every_order_it_had(drive: Callable[[str], Driver]) -> None:
    driver = drive(ECHO)
    futures = [driver.client.ask("swallow"), driver.client.ask("swallow"), driver.client.ask("die")]
    for future in futures:
        with pytest.raises(EngineGoneError, match="ended with code 7"):
            future.result(LIMIT_S)
    assert driver.wait_for("gone").fields == {"code": 7}


def test_a_killed_engine_is_gone_at_once(drive: Callable[[str], Driver]) -> None:
    driver = drive(ECHO)
    future = driver.client.ask("swallow")
    driver.wait_for("ready")
    driver.client.process.send_signal(signal.SIGKILL)
    with pytest.raises(EngineGoneError, match="-9"):
        future.result(LIMIT_S)


def test_orders_to_an_engine_that_is_gone_fail_without_waiting(
    drive: Callable[[str], Driver],
) -> None:
    driver = drive(ECHO)
    driver.client.kill()
    driver.wait_for("gone")
    with pytest.raises(EngineGoneError):
        driver.client.send("join", epoch=1)
    with pytest.raises(EngineGoneError):
        driver.client.ask("run").result(0)


class GivingUp:
    """A trace of the reading thread; it cancels an order before the so-manieth line run for it."""

    def __init__(self) -> None:
        self._order: Future[Message] = Future()
        self._left, self._asked = 0, threading.Event()
        self._asked.set()

    def ask(self, line: int, client: EngineClient, kind: str) -> None:
        self._asked.clear()
        self._order, self._left = client.ask(kind, error="InputError", message="because"), line
        self._asked.set()

    def __call__(self, frame: FrameType, event: str, argument: object) -> GivingUp | None:
        if frame.f_code.co_filename != client.__file__ or frame.f_code.co_name == "_write":
            return None
        if event == "line":
            assert self._asked.wait(LIMIT_S)
            self._left -= 1
            if self._left == 0:
                self._order.cancel()
        return self


@pytest.fixture
def giving_up() -> Iterator[GivingUp]:
    trace = GivingUp()
    threading.settrace(trace)
    yield trace
    threading.settrace(None)  # type: ignore[arg-type]


def test_an_order_may_be_given_up_while_its_answer_is_taken(
    drive: Callable[[str], Driver], giving_up: GivingUp
) -> None:
    """As it is when its time is up just then: between any two lines the next is answered."""
    engine = drive(ECHO).client
    for line in range(1, 20):
        for kind in ("run", "fail"):
            giving_up.ask(line, engine, kind)
            assert engine.ask("run").result(LIMIT_S).fields["order"] == "run"


@pytest.mark.parametrize("line", range(5, 15))
def test_an_order_may_be_given_up_while_its_engine_dies(
    drive: Callable[[str], Driver], giving_up: GivingUp, line: int
) -> None:
    engine = drive(ECHO).client
    assert engine.ask("run").result(LIMIT_S)
    giving_up.ask(line, engine, "swallow")
    other = engine.ask("swallow")
    engine.send("die")
    with pytest.raises(EngineGoneError):
        other.result(LIMIT_S)


COUNT = """
say("ready", models=[])
while (order := read_message(orders)) is not None and order.kind != "stop":
    f = order.fields
    for number in range(f["to"]): say("token", id=f["id"], ids=[number])
    if f["then"] == "die": sys.exit(7)
    say(f["then"], id=f["id"], error="InputError", message="because")
"""


def test_a_streamed_answer_comes_in_parts_and_then_as_a_whole(
    drive: Callable[[str], Driver],
) -> None:
    driver = drive(COUNT)
    first, second = (driver.client.stream("count", to=to, then="result") for to in (3, 0))
    whole = driver.client.ask("count", to=2, then="result")  # the parts are not asked for
    assert whole.result(LIMIT_S).kind == "result"
    assert [(m.kind, m.fields.get("ids")) for m in first] == [
        ("token", [0]),
        ("token", [1]),
        ("token", [2]),
        ("result", None),
    ]
    assert [message.kind for message in second] == ["result"]
    assert [event.kind for event in driver.events] == ["ready"]


@pytest.mark.parametrize(("then", "error"), [("error", InputError), ("die", EngineGoneError)])
def test_a_streamed_answer_that_fails_fails_after_its_parts(
    drive: Callable[[str], Driver], then: str, error: type[PrismError]
) -> None:
    messages = drive(COUNT).client.stream("count", to=1, then=then)
    assert next(messages).fields["ids"] == [0]
    with pytest.raises(error):
        next(messages)


@pytest.mark.parametrize(
    "garbage",
    [
        'out.write(b"Downloading: 100%|####|\\n" * 20)',
        'out.write(b"\\x02\\0\\0\\0{]")',
        'out.write(b"\\xff\\xff\\xff\\xff")',
        'out.write(b"\\x01\\0\\0\\0" + b"5")',
    ],
)
def test_garbage_on_stdout_is_an_engine_that_is_gone(
    drive: Callable[[str], Driver], garbage: str
) -> None:
    # and it lives on: nobody can tell what it will say next
    driver = drive(f"import time; {garbage}; out.flush(); time.sleep(600)")
    future = driver.client.ask("run")
    with pytest.raises(EngineGoneError):
        future.result(LIMIT_S)
    driver.wait_for("gone")


def test_close_lets_an_engine_end_in_order(drive: Callable[[str], Driver]) -> None:
    driver = drive(ECHO)
    driver.wait_for("ready")
    driver.client.close(LIMIT_S)
    assert driver.wait_for("gone").fields == {"code": 0}


def test_close_ends_an_engine_that_does_not_listen(drive: Callable[[str], Driver]) -> None:
    driver = drive('import time; say("ready"); time.sleep(600)')
    driver.wait_for("ready")
    driver.client.close(timeout_s=0.1)
    assert driver.wait_for("gone").fields == {"code": -signal.SIGKILL}


def test_the_command_says_everything_an_engine_needs(tmp_path: Path) -> None:
    argv = engine_argv(
        [ModelSettings(name="a", path=Path("/m/a")), ModelSettings(name="b", path=Path("/m/b"))],
        address="10.0.0.1",
        leader=True,
        timeout_s=2.5,
        pace_file=tmp_path / "pace.json",
        device="cuda:1",
        dtype="bf16",
        staging="mapped:65536,pinned",
    )
    assert argv[:3] == [sys.executable, "-m", "prism_edge.engine.main"]
    text = " ".join(argv)
    for part in ("--address 10.0.0.1", "--timeout 2.5", "--leader", "--model a=/m/a"):
        assert part in text
    assert "--device cuda:1 --dtype bf16 --staging mapped:65536,pinned" in text
    assert f"--pace-file {tmp_path}" in text
    worker = engine_argv([], address="10.0.0.2", leader=False, timeout_s=1)
    assert "--device cpu --dtype fp32 --staging auto" in " ".join(worker)
    assert "--leader" not in worker
    assert "--pace-file" not in worker


def test_a_local_engine_shares_stderr_but_not_stdout() -> None:
    with local_popen([sys.executable, "-c", "print('to the driver')"]) as process:
        assert isinstance(process, subprocess.Popen)
        assert process.stderr is None
        assert process.communicate(timeout=LIMIT_S)[0] == b"to the driver\n"
