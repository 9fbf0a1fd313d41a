"""Every prompt is answered once, token by token, or refused, whatever its engine does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from engine_puppet import (
    WRITE_DEAF,
    WRITE_DIE_ALWAYS,
    WRITE_DIE_ONCE,
    WRITE_INVALID,
    WRITE_SILENT,
    argv,
    orders,
)

from prism_edge.energy.journal import Journal, read
from prism_edge.engine.client import local_popen
from prism_edge.errors import DeadlineError, InputError, PlanError, UnavailableError
from prism_edge.sampling import Sampling
from prism_edge.serve.cluster import Cluster
from prism_edge.serve.daemon import end
from prism_edge.serve.decide import Decider
from prism_edge.serve.leader import Leader
from prism_edge.serve.metrics import Metrics
from prism_edge.serve.record import Record
from prism_edge.serve.service import PromptCall, Said
from prism_edge.serve.supervisor import Supervisor
from prism_edge.settings import BoardSettings, ModelSettings, ServeSettings, Settings

PATIENCE_S = 30.0


def prompt(wish: int = 9, last: int = 20, tokens: int = 4, **more: Any) -> PromptCall:
    return PromptCall(
        model=more.pop("model", "w"),
        request_id="r",
        ids=(wish, last),
        sampling=Sampling(max_new_tokens=tokens, **more.pop("sampling", {})),
        **more,
    )


@asynccontextmanager
async def leading(directory: Path, **limits: float) -> AsyncIterator[Leader]:
    """A leader of two boards, its engine a puppet that writes, its journal in ``directory``."""
    (directory / "writes").touch()
    settings = Settings(
        name="c",
        leader="a",
        profiles=directory / "profiles",
        boards=tuple(BoardSettings(name=n, address=f"10.0.0.{ord(n) - 96}") for n in "ab"),
        models=(ModelSettings(name="w", path=directory), ModelSettings(name="m", path=directory)),
        serve=replace(ServeSettings(), **limits),  # type: ignore[arg-type]
    )
    metrics, power = Metrics(), {"a": "none", "b": "none"}
    journal = Journal.open(directory / "journal.sqlite", cluster="c", kind="lab", power=power)
    record = Record(journal, metrics)
    cluster = Cluster(settings, record, metrics)
    leader = Leader(settings, cluster, Decider(settings), record, metrics)
    supervisor = Supervisor(argv(directory), local_popen, leader.engine_event, pong_s=60.0)
    leader.engine = cluster.engine = supervisor
    tasks = [asyncio.create_task(leader.run()), asyncio.create_task(supervisor.run())]
    await supervisor.until_ready(PATIENCE_S)
    try:
        yield leader
    finally:
        await end(tasks)
        await supervisor.stop()
        record.close()


def play(scene: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        await asyncio.wait_for(scene(), 2 * PATIENCE_S)

    asyncio.run(limited())


async def said_by(leader: Leader, call: PromptCall) -> list[Said]:
    async with aclosing(leader.generate(call)) as stream:
        return [said async for said in stream]


def orders_of(directory: Path, kind: str) -> list[dict[str, Any]]:
    return [dict(fields) for found, fields in orders(directory) if found == kind]


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await asyncio.sleep(0.01)


def test_tokens_come_one_by_one_and_the_last_tells_the_plan(tmp_path: Path) -> None:
    async def scene() -> None:
        async with leading(tmp_path) as leader:
            found = await said_by(leader, prompt(plan="local"))
            assert [said.token for said in found] == [21, 22, 23, 24]
            assert [said.ended for said in found] == [None, None, None, "length"]
            assert [said.parameters is None for said in found] == [True, True, True, False]
            about = dict(found[-1].parameters or {})
            assert (about["plan"], about["why"]) == ("local", "asked for by the request")
            assert (about["tokens"], about["prompt_tokens"], about["wire_bytes"]) == (4, 2, 5)
            assert leader.status()["generations"] == 0

    play(scene)
    (row,) = read(tmp_path / "journal.sqlite").requests
    assert (row.model, row.plan, row.ok, row.forced) == ("w", "local", True, True)
    assert [span[0] for span in row.spans] == ["prefill", "decode"]


def test_the_policy_chooses_where_the_request_does_not(tmp_path: Path) -> None:
    async def scene() -> None:
        async with leading(tmp_path) as leader:
            about = (await said_by(leader, prompt()))[-1].parameters or {}
            assert "profile.toml: no such file" in str(about["why"])

    play(scene)


@pytest.mark.parametrize(
    ("wrong", "kind", "message"),
    [
        (prompt(model="m"), InputError, "model m does not generate text"),
        (replace(prompt(), ids=()), InputError, "has 0 tokens, model w reads 1 to 50"),
        (replace(prompt(), ids=(1,) * 51), InputError, "has 51 tokens"),
        (prompt(plan="warp"), PlanError, "warp"),
        (prompt(WRITE_INVALID), InputError, "not for me"),
    ],
)
def test_what_cannot_be_answered_is_refused(
    wrong: PromptCall, kind: type[Exception], message: str, tmp_path: Path
) -> None:
    async def scene() -> None:
        async with leading(tmp_path) as leader:
            with pytest.raises(kind, match=message):
                await said_by(leader, wrong)
            assert len(await said_by(leader, prompt())) == 4

    play(scene)


def test_a_lost_engine_costs_no_token_and_doubles_none(tmp_path: Path) -> None:
    async def scene() -> None:
        async with leading(tmp_path) as leader:
            found = await said_by(leader, prompt(WRITE_DIE_ONCE, plan="voltage:p=2"))
            assert [said.token for said in found] == [21, 22, 23, 24]

    play(scene)
    first, second = orders_of(tmp_path, "generate")
    assert (first["said"], first["sampling"]["max_new_tokens"]) == (0, 4)
    assert (second["said"], second["sampling"]["max_new_tokens"]) == (2, 2)
    assert second["plan"] == "local"


def test_the_reply_names_the_lost_engine(tmp_path: Path) -> None:
    async def scene() -> None:
        async with leading(tmp_path) as leader:
            found = await said_by(leader, prompt(WRITE_DIE_ONCE))
            why = str((found[-1].parameters or {})["why"])
            assert why == "local was lost with its engine; the next one went on locally after " + (
                "2 tokens"
            )

    play(scene)


def test_an_engine_lost_at_the_last_token_gives_it_once(tmp_path: Path) -> None:
    async def scene() -> None:
        async with leading(tmp_path) as leader:
            found = await said_by(leader, prompt(WRITE_DIE_ONCE, tokens=2))
            assert [said.token for said in found] == [21, 22]

    play(scene)
    assert len(orders_of(tmp_path, "generate")) == 1  # there was nothing left to do
    (row,) = read(tmp_path / "journal.sqlite").requests
    assert (row.ok, row.wire_bytes) == (True, None)


def test_a_prompt_that_kills_every_engine_is_refused(tmp_path: Path) -> None:
    async def scene() -> None:
        async with leading(tmp_path) as leader:
            with pytest.raises(UnavailableError, match="failed twice"):
                await said_by(leader, prompt(WRITE_DIE_ALWAYS, tokens=9))
            assert len(await said_by(leader, prompt())) == 4

    play(scene)
    refused, answered = read(tmp_path / "journal.sqlite").requests
    assert (refused.ok, answered.ok) == (False, True)
    assert "failed twice" in str(refused.error)


@pytest.mark.parametrize("wish", [9, WRITE_SILENT])
def test_a_token_that_is_enough_is_the_last(wish: int, tmp_path: Path) -> None:
    async def scene() -> None:
        heard: list[int] = []

        def enough(said: Said) -> bool:
            heard.append(said.token)
            return said.token == 22

        async with leading(tmp_path) as leader:
            found = await said_by(leader, prompt(wish, enough=enough))
            assert [said.token for said in found] == [21, 22] == heard
            assert found[-1].ended == "stop"
            assert (found[-1].parameters or {})["tokens"] == 2

    play(scene)
    (row,) = read(tmp_path / "journal.sqlite").requests
    assert row.ok


def test_a_bug_of_the_listener_stops_the_engine_too(tmp_path: Path) -> None:
    def enough(said: Said) -> bool:
        raise ZeroDivisionError("a bug")

    async def scene() -> None:
        async with leading(tmp_path) as leader:
            with pytest.raises(ZeroDivisionError):
                await said_by(leader, prompt(WRITE_SILENT, enough=enough))
            await until(lambda: leader.status()["generations"] == 0)

    play(scene)
    assert len(orders_of(tmp_path, "cancel")) == 1


def test_a_client_that_hangs_up_stops_the_engine(tmp_path: Path) -> None:
    async def scene() -> None:
        async with leading(tmp_path) as leader:
            async with aclosing(leader.generate(prompt(WRITE_SILENT))) as stream:
                assert (await anext(stream)).token == 21
                assert leader.status()["generations"] == 1
            await until(lambda: leader.status()["generations"] == 0)
            assert len(await said_by(leader, prompt())) == 4

    play(scene)
    (cancelled,) = orders_of(tmp_path, "cancel")
    assert cancelled["key"] == orders_of(tmp_path, "generate")[0]["key"]
    refused, _ = read(tmp_path / "journal.sqlite").requests
    assert str(refused.error).startswith("the client hung up after")


def test_the_requests_own_limit_holds_for_all_of_the_answer(tmp_path: Path) -> None:
    async def scene() -> None:
        async with leading(tmp_path) as leader:
            assert leader.engine is not None
            before = leader.engine.instance
            with pytest.raises(DeadlineError, match="no token within"):
                await said_by(leader, prompt(WRITE_SILENT, timeout_s=0.3))
            await until(lambda: leader.status()["generations"] == 0)
            assert leader.engine.instance == before  # it stopped when it was told to
        assert len(orders_of(tmp_path, "cancel")) == 1

    play(scene)


def test_an_engine_that_falls_silent_is_replaced(tmp_path: Path) -> None:
    async def scene() -> None:
        async with leading(tmp_path, timeout_s=2.0) as leader:
            assert leader.engine is not None
            before = leader.engine.instance
            with pytest.raises(DeadlineError, match="no token within"):
                await said_by(leader, prompt(WRITE_DEAF))
            await until(lambda: leader.engine.instance != before)  # type: ignore[union-attr]
            await leader.engine.until_ready(PATIENCE_S)
            assert len(await said_by(leader, prompt())) == 4

    play(scene)


def test_a_client_that_does_not_read_keeps_nobody_waiting(tmp_path: Path) -> None:
    async def scene() -> None:
        async with leading(tmp_path, max_batch=1) as leader:
            stream = leader.generate(prompt())
            assert (await anext(stream)).token == 21
            assert len(await said_by(leader, prompt())) == 4
            assert [said.token async for said in stream] == [22, 23, 24]

    play(scene)


def test_a_few_are_answered_at_once_and_the_queue_is_bounded(tmp_path: Path) -> None:
    async def scene() -> None:
        async with leading(tmp_path, max_batch=1, queue=1) as leader:
            async with aclosing(leader.generate(prompt(WRITE_SILENT))) as stream:
                await anext(stream)
                second = asyncio.create_task(said_by(leader, prompt()))
                await until(lambda: leader.status()["queue"] == 1)
                with pytest.raises(UnavailableError, match="queue is full"):
                    await said_by(leader, prompt())
            assert len(await second) == 4

    play(scene)


def test_draining_waits_for_the_last_token(tmp_path: Path) -> None:
    async def scene() -> None:
        async with leading(tmp_path) as leader:
            stream = leader.generate(prompt(WRITE_SILENT))
            await anext(stream)
            assert not await leader.drain(0.1)
            with pytest.raises(UnavailableError, match="draining"):
                await said_by(leader, prompt())
            await stream.aclose()
            assert await leader.drain(PATIENCE_S)

    play(scene)
