"""Items are told of once each; a full daemon is asked again; a camera's late frames are dropped."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from prism_edge.client.feed import Item, Pace, Result, feed, patiently, said
from prism_edge.errors import InputError, UnavailableError
from prism_edge.serve.oip_client import Reply

OK = Reply(outputs={}, parameters={"plan": "local"})


def always() -> Reply:
    return OK


def full(times: int) -> Callable[[], Reply]:
    """Refuses so often, then answers."""
    left = iter(range(times))

    def ask() -> Reply:
        for _ in left:
            raise UnavailableError("the queue is full", 0.0)
        return OK

    return ask


def wrong() -> Reply:
    raise InputError("not an image")


def fed(items: Iterator[Item] | list[Item], pace: Pace) -> tuple[list[Result], list[str]]:
    results: list[Result] = []
    dropped: list[str] = []
    feed(items, results.append, lambda item: dropped.append(item.name), pace)
    return results, dropped


@pytest.mark.parametrize("concurrency", [1, 4])
def test_every_item_is_told_of_once(concurrency: int) -> None:
    names = [str(number) for number in range(50)]
    items = [Item(name=name, ask=always) for name in names]
    results, dropped = fed(items, Pace(concurrency=concurrency))
    assert sorted(result.name for result in results) == sorted(names)
    assert dropped == []
    assert all(result.reply is OK for result in results)


def test_one_at_a_time_keeps_the_order() -> None:
    results, _ = fed([Item(name=name, ask=always) for name in "abcdef"], Pace())
    assert [result.name for result in results] == list("abcdef")


def test_a_full_daemon_is_asked_again_and_a_wrong_item_is_not() -> None:
    items = [Item(name="busy", ask=full(2)), Item(name="bad", ask=wrong)]
    busy, bad = fed(items, Pace(retries=3))[0]
    assert (busy.reply, busy.tries) == (OK, 3)
    assert (bad.reply, bad.tries, bad.error) == (None, 1, "not an image")
    (given_up,) = fed([Item(name="busy", ask=full(9))], Pace(retries=1))[0]
    assert (given_up.tries, given_up.error) == (2, "the queue is full")
    assert patiently(full(1), 1) == (OK, 2)
    with pytest.raises(UnavailableError):
        patiently(full(2), 1)


def test_a_camera_drops_what_comes_while_nobody_is_free() -> None:
    """The first frame is answered only when the last one has come."""
    come = threading.Event()

    def slow() -> Reply:
        assert come.wait(60)
        return OK

    def frames() -> Iterator[Item]:
        for name in "abc":
            yield Item(name=name, ask=slow)
        come.set()

    results, dropped = fed(frames(), Pace(rate_hz=1000, retries=5))
    assert [result.name for result in results] == ["a"]
    assert dropped == ["b", "c"]


def test_a_camera_s_frame_is_not_asked_again() -> None:
    (refused,) = fed([Item(name="a", ask=full(1))], Pace(rate_hz=1000, retries=5))[0]
    assert (refused.tries, refused.reply) == (1, None)


def test_a_camera_without_time_gives_one_frame() -> None:
    frames = (Item(name=name, ask=always) for name in "abc")
    results, dropped = fed(frames, Pace(rate_hz=1000, seconds=0.0))
    assert ([result.name for result in results], dropped) == (["a"], [])


def test_after_an_interrupt_nobody_waits() -> None:
    never = threading.Event()

    def stuck() -> Reply:
        never.wait()
        return OK

    def items() -> Iterator[Item]:
        yield Item(name="a", ask=stuck)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fed(items(), Pace())
    never.set()


def test_an_interrupt_lets_who_is_telling_finish() -> None:
    begun, interrupted, told = threading.Event(), threading.Event(), []

    def items() -> Iterator[Item]:
        yield Item(name="a", ask=always)
        begun.wait()
        interrupted.set()
        raise KeyboardInterrupt

    def tell(result: Result) -> None:
        begun.set()
        interrupted.wait()
        told.append(result.name)

    with pytest.raises(KeyboardInterrupt):
        feed(items(), tell, lambda item: None, Pace())
    assert told == ["a"]


def test_the_summary_counts_everything() -> None:
    def result(name: str, seconds: float, tries: int = 1, reply: Reply | None = OK) -> Result:
        return Result(name=name, seconds=seconds, tries=tries, reply=reply, error=None)

    some = [result("a", 0.1), result("b", 0.3, tries=3), result("c", 9.0, reply=None)]
    assert said(some, 4, 2.0) == (
        "2 answered, 1 failed, 4 dropped, 2 times asked again\n"
        "p50 200 ms, 1.0 per second, 2 x local"
    )
    assert said([], 0, 0.0) == "0 answered, 0 failed, 0 dropped"
