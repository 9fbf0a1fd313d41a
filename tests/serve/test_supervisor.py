"""An engine is always there: a dead, a frozen and a refusing one."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
from engine_puppet import BUG, DIE_ALWAYS, DIE_ONCE, INVALID, SILENT, argv, orders

from prism_edge.engine.client import EngineClient, EngineGoneError, local_popen
from prism_edge.engine.messages import Message
from prism_edge.errors import ClusterError, InputError, ModelError
from prism_edge.serve.daemon import end
from prism_edge.serve.selftest import self_test
from prism_edge.serve.supervisor import STUCK_S, TRIALS, USEFUL_PAUSE_S, Supervisor, answer

PATIENCE_S = 60.0
Test = Callable[[EngineClient, Message], Awaitable[str | None]]


class Watched:
    """A supervisor at work, and what its engines reported."""

    def __init__(self, directory: Path, pong_s: float, test: Test | None = None) -> None:
        self.said: list[Message] = []
        self.supervisor = Supervisor(
            argv(directory), local_popen, self.said.append, pong_s=pong_s, test=test
        )

    def kinds(self) -> list[str]:
        return [message.kind for message in self.said]

    async def ready(self) -> str:
        """The name of the engine that is ready."""
        await self.supervisor.until_ready(PATIENCE_S)
        return self.supervisor.instance

    async def ask(self, value: float) -> Message:
        client = await self.supervisor.until_ready(PATIENCE_S)
        inputs = {"x": np.full((1, 2), value, dtype=np.float32)}
        return await answer(client.ask("run", inputs, model="m", plan="local"), PATIENCE_S)

    async def until(self, condition: Callable[[], bool]) -> None:
        for _ in range(int(PATIENCE_S / 0.01)):
            if condition():
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"not within {PATIENCE_S} s; engines said {self.kinds()}")

    @property
    def pid(self) -> int:
        assert self.supervisor.client is not None
        return self.supervisor.client.process.pid


@asynccontextmanager
async def watched(
    directory: Path, pong_s: float = 60.0, test: Test | None = None
) -> AsyncIterator[Watched]:
    found = Watched(directory, pong_s, test)
    task = asyncio.create_task(found.supervisor.run())
    try:
        yield found
    finally:
        await end([task])
        await found.supervisor.stop()


def test_an_engine_that_is_killed_is_replaced_and_both_are_reported(tmp_path: Path) -> None:
    async def scene() -> None:
        async with watched(tmp_path) as engine:
            first = await engine.ready()
            assert (await engine.ask(3.0)).arrays["y"].tolist() == [[6.0, 6.0]]
            os.kill(engine.pid, signal.SIGKILL)
            await engine.until(lambda: engine.kinds().count("ready") == 2)
            assert engine.kinds() == ["ready", "gone", "ready"]
            assert engine.said[1].fields["code"] == -signal.SIGKILL
            assert await engine.ready() != first
            assert (await engine.ask(4.0)).arrays["y"].tolist() == [[8.0, 8.0]]

    asyncio.run(scene())


def test_what_was_asked_of_a_dying_engine_fails_and_the_next_one_answers(tmp_path: Path) -> None:
    """Whoever tries again at once must not get the dead engine again."""

    async def scene() -> None:
        async with watched(tmp_path) as engine:
            for _ in range(2):
                await engine.ready()
                (tmp_path / "died").unlink(missing_ok=True)
                with pytest.raises(EngineGoneError, match="ended with code -9"):
                    await engine.ask(DIE_ONCE)
                if engine.kinds()[-1] == "gone":  # the next one is not there yet
                    assert not engine.supervisor.ready
                    assert engine.supervisor.ready_in_s(time.monotonic()) > 0
                assert (await engine.ask(DIE_ONCE)).kind == "result"
                assert engine.supervisor.ready_in_s(time.monotonic()) == 0

    asyncio.run(scene())


def test_engines_that_keep_dying_are_not_started_in_a_hurry(tmp_path: Path) -> None:
    starts: list[float] = []
    ends: list[float] = []

    def popen(command: Sequence[str]) -> subprocess.Popen[bytes]:
        starts.append(time.monotonic())
        return local_popen(command)

    def note(message: Message) -> None:
        if message.kind == "gone":
            ends.append(time.monotonic())

    async def scene() -> None:
        supervisor = Supervisor(argv(tmp_path), popen, note, pong_s=60.0)
        task = asyncio.create_task(supervisor.run())
        for _ in range(3):
            client = await supervisor.until_ready(PATIENCE_S)
            inputs = {"x": np.full((1, 2), DIE_ALWAYS, dtype=np.float32)}
            with pytest.raises(EngineGoneError):
                await answer(client.ask("run", inputs, model="m", plan="local"), PATIENCE_S)
        await end([task])
        await supervisor.stop()

    asyncio.run(scene())
    assert starts[2] - ends[1] >= USEFUL_PAUSE_S  # after the second death; the first has none


def test_a_frozen_engine_is_replaced(tmp_path: Path) -> None:
    async def scene() -> None:
        async with watched(tmp_path, pong_s=0.2) as engine:
            first = await engine.ready()
            os.kill(engine.pid, signal.SIGSTOP)
            await engine.until(lambda: engine.kinds().count("ready") == 2)
            assert await engine.ready() != first

    asyncio.run(scene())


def test_orders_to_a_frozen_engine_do_not_wait_for_it(tmp_path: Path) -> None:
    """Far more than a pipe holds: the agent goes on, and the order fails with the engine."""

    async def scene() -> None:
        async with watched(tmp_path) as engine:
            client = await engine.supervisor.until_ready(PATIENCE_S)
            os.kill(engine.pid, signal.SIGSTOP)
            inputs = {"x": np.zeros((1 << 19, 2), dtype=np.float32)}
            asked = client.ask("run", inputs, model="m", plan="local")
            client.send("leave", epoch=1, now=True)
            assert not asked.done()
            engine.supervisor.kill()
            with pytest.raises(EngineGoneError):
                await answer(asked, PATIENCE_S)

    asyncio.run(scene())


def test_control_an_engine_that_answers_pings_is_kept_whatever_it_computes(tmp_path: Path) -> None:
    async def scene() -> None:
        async with watched(tmp_path, pong_s=1.0) as engine:
            first = await engine.ready()
            client = await engine.supervisor.until_ready(PATIENCE_S)
            inputs = {"x": np.full((1, 2), SILENT, dtype=np.float32)}
            asked = client.ask("run", inputs, model="m", plan="local")
            for _ in range(4):
                await answer(client.ask("ping"), PATIENCE_S)
                await asyncio.sleep(1.0)
            assert not asked.done()
            assert await engine.ready() == first

    asyncio.run(scene())


def test_an_engine_that_refuses_to_start_ends_it_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "refuse").write_text("models/m: no config.json")

    async def scene() -> None:
        said: list[Message] = []
        supervisor = Supervisor(argv(tmp_path), local_popen, said.append)
        with pytest.raises(ModelError, match=r"no config\.json"):
            await asyncio.wait_for(supervisor.run(), PATIENCE_S)
        assert not supervisor.ready

    asyncio.run(scene())


# -- the self-test -----------------------------------------------------------------------------


def test_an_engine_is_ready_once_it_has_passed(tmp_path: Path) -> None:
    """The real self-test, and an engine that answers it."""

    async def scene() -> None:
        async def test(client: EngineClient, ready: Message) -> str | None:
            assert not engine.supervisor.ready
            assert engine.kinds() == []
            return await self_test(client, ready, PATIENCE_S)

        async with watched(tmp_path, test=test) as engine:
            await engine.ready()
            assert engine.kinds() == ["ready"]
            assert engine.supervisor.complaint is None
            ((kind, fields),) = orders(tmp_path)
            assert (kind, fields["plan"], fields["model"]) == ("run", "local", "m")

    asyncio.run(scene())


def test_an_engine_that_fails_is_replaced_and_the_reason_kept_until_one_passes(
    tmp_path: Path,
) -> None:
    async def scene() -> None:
        verdicts = iter(["model m: y holds NaN", None, "model m: no answer"])
        seen: list[str | None] = []

        async def test(client: EngineClient, ready: Message) -> str | None:
            seen.append(engine.supervisor.complaint)
            return next(verdicts, None)

        async with watched(tmp_path, test=test) as engine:
            await engine.ready()
            assert seen == [None, "self-test failed: model m: y holds NaN"]
            assert engine.kinds() == ["gone", "ready"]
            assert engine.supervisor.complaint is None
            engine.supervisor.kill()
            await engine.until(lambda: engine.kinds().count("ready") == 2)
            assert seen[3] == "self-test failed: model m: no answer"

    asyncio.run(scene())


def test_where_no_engine_ever_became_ready_it_ends(tmp_path: Path) -> None:
    """A board that cannot run it must not look as if it were still loading."""
    code = "import sys; sys.exit(3)"

    async def scene() -> None:
        said: list[Message] = []
        supervisor = Supervisor([sys.executable, "-c", code], local_popen, said.append)
        with pytest.raises(ModelError, match=f"ended {TRIALS} times before it was ready"):
            await asyncio.wait_for(supervisor.run(), PATIENCE_S)
        assert [message.fields["code"] for message in said] == [3] * TRIALS

    asyncio.run(scene())


def test_where_no_engine_ever_passed_it_ends_with_the_reason(tmp_path: Path) -> None:
    async def scene() -> None:
        tried: list[Message] = []

        async def test(client: EngineClient, ready: Message) -> str | None:
            tried.append(ready)
            return "model m: y holds NaN"

        supervisor = Supervisor(argv(tmp_path), local_popen, lambda message: None, test=test)
        with pytest.raises(ModelError, match="self-test failed: model m: y holds NaN"):
            await asyncio.wait_for(supervisor.run(), PATIENCE_S)
        assert len(tried) == TRIALS

    asyncio.run(scene())


def test_a_silent_a_dying_and_a_refusing_engine_fail_the_test_with_their_reason(
    tmp_path: Path,
) -> None:
    async def scene() -> None:
        async with watched(tmp_path) as engine:
            client = await engine.supervisor.until_ready(PATIENCE_S)
            ready = engine.said[0]
            assert await self_test(client, ready, PATIENCE_S) is None
            os.kill(engine.pid, signal.SIGSTOP)
            assert await self_test(client, ready, 0.05) == "model m: no answer within 0.05 s"
            engine.supervisor.kill()
            said = await self_test(client, ready, PATIENCE_S)
            assert said is not None
            assert said.startswith("model m: the engine")

    asyncio.run(scene())


def test_a_supervisor_that_does_nothing_any_more_is_not_alive(tmp_path: Path) -> None:
    async def scene() -> None:
        async with watched(tmp_path, pong_s=0.1) as engine:
            await engine.ready()
            loop = asyncio.get_running_loop()
            assert engine.supervisor.alive(loop.time())
            assert not engine.supervisor.alive(loop.time() + STUCK_S + 1)
            before_s = loop.time()
            await engine.until(lambda: engine.supervisor.alive(before_s + STUCK_S))  # it turned

    asyncio.run(scene())


def test_a_task_that_swallows_a_cancellation_is_asked_again() -> None:
    async def scene() -> int:
        asked = 0

        async def stubborn() -> None:
            nonlocal asked
            while asked < 3:
                try:
                    await asyncio.sleep(PATIENCE_S)
                except asyncio.CancelledError:
                    asked += 1

        task = asyncio.create_task(stubborn())
        await asyncio.sleep(0)
        await end([task])
        return asked

    assert asyncio.run(scene()) == 3


def test_nobody_waits_longer_than_told_for_an_engine(tmp_path: Path) -> None:
    async def scene() -> None:
        supervisor = Supervisor(argv(tmp_path), local_popen, lambda message: None)
        for timeout_s in (0.01, 0.0, -1.0):
            with pytest.raises(EngineGoneError, match="no engine was ready"):
                await supervisor.until_ready(timeout_s)

    asyncio.run(scene())


def test_what_an_engine_raises_is_raised_here(tmp_path: Path) -> None:
    async def scene() -> None:
        async with watched(tmp_path) as engine:
            with pytest.raises(InputError, match="not for me"):
                await engine.ask(INVALID)
            with pytest.raises(ClusterError, match="not for me"):
                await engine.ask(BUG)

    asyncio.run(scene())


def test_after_stop_nothing_is_left(tmp_path: Path) -> None:
    async def scene() -> None:
        async with watched(tmp_path) as engine:
            await engine.ready()
            client = engine.supervisor.client
        assert client is not None
        assert client.process.returncode == 0  # it was told to stop, not killed
        with pytest.raises(EngineGoneError):
            client.send("ping")

    asyncio.run(scene())
