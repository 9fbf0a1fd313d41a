"""Every admitted request is answered or refused, exactly once, whatever its engine does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from engine_puppet import (
    BUG,
    DIE_ALWAYS,
    DIE_ONCE,
    FREEZE_ONCE,
    INVALID,
    LOSE_PEER,
    SILENT,
    argv,
    orders,
)

from prism_edge.engine.client import local_popen
from prism_edge.errors import (
    ClusterError,
    DeadlineError,
    InputError,
    PlanError,
    UnavailableError,
)
from prism_edge.serve.cluster import Cluster
from prism_edge.serve.daemon import end
from prism_edge.serve.decide import Decider
from prism_edge.serve.leader import Leader
from prism_edge.serve.metrics import Metrics
from prism_edge.serve.record import Record
from prism_edge.serve.service import InferCall, InferReply, Parameter
from prism_edge.serve.supervisor import Supervisor
from prism_edge.settings import BoardSettings, ModelSettings, ServeSettings, Settings

PATIENCE_S = 30.0


def settings_of(directory: Path, boards: int = 2, **limits: float) -> Settings:
    return Settings(
        name="c",
        leader="a",
        profiles=directory / "profiles",
        boards=tuple(
            BoardSettings(name="abc"[k], address=f"10.0.0.{k + 1}") for k in range(boards)
        ),
        models=(ModelSettings(name="m", path=directory),),
        serve=replace(ServeSettings(), **limits),  # type: ignore[arg-type]
    )


def call(value: float = 1.0, rows: int = 1, **more: Parameter) -> InferCall:
    timeout_s = more.pop("timeout_s", None)
    return InferCall(
        model="m",
        request_id="r",
        inputs={"x": np.full((rows, 2), value, dtype=np.float32)},
        parameters=more,
        timeout_s=None if timeout_s is None else float(timeout_s),
    )


@asynccontextmanager
async def leading(
    directory: Path, *, boards: int = 2, start: bool = True, pong_s: float = 60.0, **limits: float
) -> AsyncIterator[Leader]:
    """A leader at work, its engine a puppet."""
    settings, metrics = settings_of(directory, boards, **limits), Metrics()
    record = Record(None, metrics)
    cluster = Cluster(settings, record, metrics)
    leader = Leader(settings, cluster, Decider(settings), record, metrics)
    supervisor = Supervisor(argv(directory), local_popen, leader.engine_event, pong_s=pong_s)
    leader.engine = cluster.engine = supervisor
    tasks = [asyncio.create_task(leader.run())]
    if start:
        tasks.append(asyncio.create_task(supervisor.run()))
        await supervisor.until_ready(PATIENCE_S)
    try:
        yield leader
    finally:
        await end(tasks)
        await supervisor.stop()


def play(scene: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        await asyncio.wait_for(scene(), 2 * PATIENCE_S)

    asyncio.run(limited())


def runs(directory: Path) -> int:
    return sum(kind == "run" for kind, _ in orders(directory))


# -- answers -----------------------------------------------------------------------------------


def test_an_answer_carries_its_plan_and_why(tmp_path: Path) -> None:
    async def scene() -> None:
        async with leading(tmp_path) as leader:
            reply = await leader.infer(call(3.0))
            assert reply.outputs["y"].tolist() == [[6.0, 6.0]]
            parameters = dict(reply.parameters)
            assert parameters["plan"] == "local"
            assert "profile.toml: no such file" in str(parameters["why"])
            assert (parameters["batch"], parameters["wire_bytes"]) == (1, 0)
            for key in ("queue_s", "run_s", "engine_s"):
                assert float(parameters[key]) >= 0

    play(scene)


def test_a_board_alone_says_that_it_is(tmp_path: Path) -> None:
    async def scene() -> None:
        async with leading(tmp_path, boards=1) as leader:
            reply = await leader.infer(call())
            assert reply.parameters["why"] == "local: this board serves alone"
            assert leader.readiness().reason is None

    play(scene)


def test_requests_that_come_together_are_answered_together_each_its_own_rows(
    tmp_path: Path,
) -> None:
    async def scene() -> None:
        async with leading(tmp_path, max_delay_s=0.2) as leader:
            replies = await asyncio.gather(
                *(leader.infer(call(float(k), rows=1 + k % 2)) for k in range(5))
            )
            for k, reply in enumerate(replies):
                assert reply.outputs["y"].tolist() == [[2.0 * k, 2.0 * k]] * (1 + k % 2)
                assert reply.parameters["batch"] == 7
        assert runs(tmp_path) == 1

    play(scene)


def test_a_forced_plan_without_the_boards_for_it_is_answered_locally_and_says_so(
    tmp_path: Path,
) -> None:
    async def scene() -> None:
        async with leading(tmp_path) as leader:
            reply = await leader.infer(call(rows=2, plan="split:p=2"))
            assert reply.parameters["plan"] == "local"
            assert "only a in service" in str(reply.parameters["why"])
            assert (await leader.infer(call(plan="auto"))).parameters["plan"] == "local"

    play(scene)


def test_a_lost_board_is_named(tmp_path: Path) -> None:
    async def scene() -> None:
        async with leading(tmp_path) as leader:
            reply = await leader.infer(call(LOSE_PEER))
            assert "peer b [10.0.0.2]:4711" in str(reply.parameters["why"])
            assert "answered locally" in str(reply.parameters["why"])

    play(scene)


# -- refusals ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "kind"),
    [
        (call(plan="warp"), PlanError),
        (call(plan="voltage:p=3"), PlanError),  # of two boards
        (call(plan="prism:p=2,l=5"), PlanError),  # a rank has four tokens
        (replace(call(), inputs={}), InputError),
        (replace(call(), inputs={"z": np.zeros((1, 2))}), InputError),
        (replace(call(), inputs={"x": np.zeros((0, 2))}), InputError),
        (replace(call(), inputs={"x": np.zeros(())}), InputError),
    ],
)
def test_what_cannot_be_answered_is_refused_before_it_waits(
    wrong: InferCall, kind: type[Exception], tmp_path: Path
) -> None:
    async def scene() -> None:
        async with leading(tmp_path) as leader:
            with pytest.raises(kind):
                await leader.infer(wrong)
        assert runs(tmp_path) == 0

    play(scene)


def test_a_malformed_request_does_not_harm_those_it_is_batched_with(tmp_path: Path) -> None:
    async def scene() -> None:
        async with leading(tmp_path, max_delay_s=0.2) as leader:
            values = [1.0, INVALID, 2.0]
            replies = await asyncio.gather(
                *(leader.infer(call(value)) for value in values), return_exceptions=True
            )
            assert isinstance(replies[1], InputError)
            for value, reply in ((1.0, replies[0]), (2.0, replies[2])):
                assert isinstance(reply, InferReply)
                assert reply.outputs["y"][0, 0] == 2 * value
        assert runs(tmp_path) == 4  # together, then each alone

    play(scene)


def test_a_full_queue_a_draining_and_a_loading_daemon_refuse(tmp_path: Path) -> None:
    async def scene() -> None:
        async with leading(tmp_path, start=False) as leader:
            assert not leader.readiness().ready
            assert [(info.name, info.ready) for info in leader.models()] == [("m", False)]
            with pytest.raises(UnavailableError, match="loading") as loading:
                await leader.infer(call())
            assert loading.value.retry_after_s > 0
        async with leading(tmp_path, queue=1) as leader:
            assert [(info.name, info.ready) for info in leader.models()] == [("m", True)]
            # both come before the leader has its turn
            asked = [asyncio.create_task(leader.infer(call())) for _ in range(2)]
            with pytest.raises(UnavailableError, match="queue is full"):
                await asked[1]
            leader.draining = True
            with pytest.raises(UnavailableError, match="draining"):
                await leader.infer(call())
            assert (await asked[0]).outputs["y"].tolist() == [[2.0, 2.0]]

    play(scene)


# -- engines that fail -------------------------------------------------------------------------


def test_a_dead_engines_batch_is_answered_by_the_next_engine_which_is_said(tmp_path: Path) -> None:
    async def scene() -> None:
        async with leading(tmp_path) as leader:
            reply = await leader.infer(call(DIE_ONCE))
            assert reply.outputs["y"][0, 0] == 2 * DIE_ONCE
            assert "lost with its engine; answered locally by the next" in str(
                reply.parameters["why"]
            )
        assert runs(tmp_path) == 2

    play(scene)


def test_a_request_that_kills_every_engine_is_refused_and_the_next_one_answered(
    tmp_path: Path,
) -> None:
    async def scene() -> None:
        async with leading(tmp_path) as leader:
            with pytest.raises(UnavailableError, match="failed twice"):
                await leader.infer(call(DIE_ALWAYS))
            assert (await leader.infer(call(3.0))).outputs["y"][0, 0] == 6.0
        assert runs(tmp_path) == 3

    play(scene)


def test_a_frozen_engines_batch_is_answered_by_the_next_engine(tmp_path: Path) -> None:
    async def scene() -> None:
        async with leading(tmp_path, pong_s=1.0) as leader:
            reply = await leader.infer(call(FREEZE_ONCE))
            assert reply.outputs["y"][0, 0] == 2 * FREEZE_ONCE
            assert "lost with its engine" in str(reply.parameters["why"])

    play(scene)


def test_an_engine_that_never_answers_is_replaced_and_the_client_told_in_time(
    tmp_path: Path,
) -> None:
    async def scene() -> None:
        async with leading(tmp_path, timeout_s=2.0) as leader:
            with pytest.raises(DeadlineError):
                await leader.infer(call(SILENT))
            assert leader.engine is not None
            while leader.status()["busy"] or not leader.engine.ready:
                await asyncio.sleep(0.01)
            assert (await leader.infer(call(3.0))).outputs["y"][0, 0] == 6.0

    play(scene)


def test_a_requests_own_limit_holds_while_its_batch_runs(tmp_path: Path) -> None:
    async def scene() -> None:
        async with leading(tmp_path) as leader:
            with pytest.raises(DeadlineError, match=r"no answer within 1 s"):
                await leader.infer(call(SILENT, timeout_s=1.0))

    play(scene)


def test_who_would_be_answered_too_late_is_refused_at_once(tmp_path: Path) -> None:
    async def scene() -> None:
        async with leading(tmp_path) as leader:
            measured_s = float((await leader.infer(call())).parameters["run_s"])
            silent = asyncio.create_task(leader.infer(call(SILENT)))
            while not leader.status()["busy"]:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.2 + measured_s)  # by now it should have answered
            with pytest.raises(UnavailableError, match=r"its limit is 0\.1 s") as refused:
                await leader.infer(call(timeout_s=0.1))
            assert refused.value.retry_after_s > 0
            silent.cancel()

    play(scene)


def test_an_engines_bug_costs_the_one_request_only(tmp_path: Path) -> None:
    async def scene() -> None:
        async with leading(tmp_path) as leader:
            with pytest.raises(ClusterError, match="not for me"):
                await leader.infer(call(BUG))
            assert (await leader.infer(call(3.0))).outputs["y"][0, 0] == 6.0
        assert runs(tmp_path) == 2

    play(scene)


def test_a_bug_of_ours_costs_the_one_batch_only(tmp_path: Path) -> None:
    class Broken(Decider):
        failed = False

        def choose(self, *args: object, **more: object) -> object:  # type: ignore[override]
            if not self.failed:
                self.failed = True
                raise ZeroDivisionError("a bug")
            return super().choose(*args, **more)  # type: ignore[arg-type]

    async def scene() -> None:
        async with leading(tmp_path) as leader:
            broken = Broken(settings_of(tmp_path))
            broken.models(leader._models, 0.0)
            leader._decider = broken
            with pytest.raises(ZeroDivisionError):
                await leader.infer(call())
            assert (await leader.infer(call(3.0))).outputs["y"][0, 0] == 6.0

    play(scene)


def test_a_client_that_hung_up_is_forgotten(tmp_path: Path) -> None:
    async def scene() -> None:
        async with leading(tmp_path, max_delay_s=PATIENCE_S) as leader:
            await asyncio.gather(*(leader.infer(call()) for _ in range(3)))  # and so many may come
            gone = asyncio.create_task(leader.infer(call(1.0)))
            stays = asyncio.create_task(leader.infer(call(2.0)))
            await asyncio.sleep(0)
            assert leader.status()["queue"] == 2
            gone.cancel()
            await asyncio.wait([gone])
            others = [leader.infer(call()) for _ in range(2)]
            replies = await asyncio.gather(stays, *others)
            assert [reply.parameters["batch"] for reply in replies] == [3] * 3
            assert gone.cancelled()

    play(scene)


# -- draining ----------------------------------------------------------------------------------


def test_draining_waits_for_what_was_admitted(tmp_path: Path) -> None:
    async def scene() -> None:
        async with leading(tmp_path, max_delay_s=0.3) as leader:
            asked = asyncio.create_task(leader.infer(call(3.0)))
            await asyncio.sleep(0)
            assert await leader.drain(PATIENCE_S)
            assert (await asked).outputs["y"][0, 0] == 6.0
            assert not leader.readiness().ready

    play(scene)


def test_draining_gives_up_on_what_is_never_answered(tmp_path: Path) -> None:
    async def scene() -> None:
        async with leading(tmp_path) as leader:
            asked = asyncio.create_task(leader.infer(call(SILENT)))
            while not leader.status()["busy"]:
                await asyncio.sleep(0.01)
            assert not await leader.drain(0.1)
            asked.cancel()

    play(scene)


def test_status_shows_boards_and_last_batches(tmp_path: Path) -> None:
    async def scene() -> None:
        async with leading(tmp_path) as leader:
            await leader.infer(call())
            status = leader.status()
            boards = status["boards"]
            assert isinstance(boards, list)
            assert [(b["name"], b["ready"], b["in_group"]) for b in boards] == [
                ("a", True, False),
                ("b", False, False),
            ]
            last = status["last"]
            assert isinstance(last, list)
            assert [batch["plan"] for batch in last] == ["local"]
            assert (status["busy"], status["epoch"]) == (False, None)
            assert "local only" in str(status["degraded"])

    play(scene)
