"""A few at once, the rest in order, and no turn is ever lost."""

from __future__ import annotations

import asyncio

import pytest

from prism_edge.errors import DeadlineError, UnavailableError
from prism_edge.serve.turns import Turns


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


class Guest:
    """Somebody who takes a turn and keeps it until told to go."""

    def __init__(self, turns: Turns, patience_s: float = 60.0) -> None:
        self.inside = False
        self._go = asyncio.Event()
        self.task = asyncio.create_task(self._visit(turns, patience_s))

    async def _visit(self, turns: Turns, patience_s: float) -> None:
        async with turns.turn(patience_s):
            self.inside = True
            await self._go.wait()
        self.inside = False

    async def leave(self) -> None:
        self._go.set()
        await self.task


def test_turns_go_round_in_the_order_of_arrival() -> None:
    async def scene() -> None:
        turns = Turns(2, 3)
        guests = [Guest(turns) for _ in range(5)]
        await settle()
        assert [guest.inside for guest in guests] == [True, True, False, False, False]
        assert (turns.taken, turns.waiting) == (2, 3)
        with pytest.raises(UnavailableError, match="queue is full"):
            await Guest(turns).task
        await guests[1].leave()
        await settle()
        assert [guest.inside for guest in guests] == [True, False, True, False, False]
        for guest in (guests[0], guests[2], guests[3], guests[4]):
            await guest.leave()
        assert (turns.taken, turns.waiting) == (0, 0)

    asyncio.run(scene())


def test_who_waits_in_vain_leaves_the_queue() -> None:
    async def scene() -> None:
        turns = Turns(1, 3)
        first, late, gone, last = (
            Guest(turns),
            Guest(turns, 0.01),
            Guest(turns),
            Guest(turns),
        )
        with pytest.raises(DeadlineError, match="in the queue"):
            await late.task
        gone.task.cancel()
        await settle()
        assert (turns.taken, turns.waiting) == (1, 1)
        await first.leave()
        await settle()
        assert last.inside
        await last.leave()
        assert (turns.taken, turns.waiting) == (0, 0)

    asyncio.run(scene())


def test_who_would_wait_in_vain_is_refused_at_once() -> None:
    async def scene() -> None:
        turns = Turns(1, 3)
        first = Guest(turns)
        await asyncio.sleep(1.0)
        await first.leave()  # so long a turn takes
        second = Guest(turns)
        await settle()
        with pytest.raises(UnavailableError, match="0 prompts wait") as refused:
            await Guest(turns, 0.01).task
        assert 0 < refused.value.retry_after_s < 60
        patient = Guest(turns)
        await second.leave()
        await settle()
        assert patient.inside
        await patient.leave()

    asyncio.run(scene())


def test_a_turn_that_comes_to_somebody_who_leaves_goes_on() -> None:
    async def scene() -> None:
        turns = Turns(1, 3)
        first, gone, last = Guest(turns), Guest(turns), Guest(turns)
        await settle()
        first._go.set()
        await asyncio.sleep(0)  # the turn is handed over, and its taker has not run yet
        gone.task.cancel()
        await settle()
        assert not gone.inside
        assert last.inside
        await last.leave()
        assert (turns.taken, turns.waiting) == (0, 0)

    asyncio.run(scene())
