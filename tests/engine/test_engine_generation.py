"""Real engines that generate: tokens stream, a lost board costs a prefill at most."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import TypeVar

import checkpoints
import numpy as np
import pytest

from prism_edge.engine.messages import Message
from prism_edge.errors import InputError, PlanError
from prism_edge.profile.engines import Engines, local_hosts, start_engines
from prism_edge.settings import ModelSettings

pytestmark = pytest.mark.gloo
IDS = np.random.default_rng(0).integers(1, 50, (2, 12))
MASK = np.array([[0] * 5 + [1] * 7, [1] * 12])
Said = TypeVar("Said")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[ModelSettings]:
    root = tmp_path_factory.mktemp("gpt2")
    paths = {
        "gpt2": checkpoints.write(root / "gpt2", *checkpoints.gpt2(n_positions=400)),
        "bare": checkpoints.write(root / "bare", *checkpoints.gpt2("GPT2Model")),
    }
    return [ModelSettings(name=name, path=path) for name, path in paths.items()]


@pytest.fixture(scope="module")
def pair(models: list[ModelSettings]) -> Iterator[Engines]:
    with start_engines(local_hosts(2), models) as engines:
        engines.join()
        yield engines


def say(
    engines: Engines, plan: str, *, model: str = "gpt2", key: str | None = None, **sampling: object
) -> Iterator[Message]:
    options = {"max_new_tokens": 6, **sampling}
    arrays = {"input_ids": IDS, "attention_mask": MASK}
    return engines.clients[0].stream(
        "generate", arrays, model=model, plan=plan, sampling=options, key=key
    )


def tokens(messages: Iterator[Message]) -> tuple[list[list[int]], Message]:
    """What streamed, by answer, and the result."""
    *parts, result = messages
    assert [part.kind for part in parts] == ["token"] * len(parts)
    assert result.kind == "result"
    rows = zip(*(part.fields["ids"] for part in parts), strict=True)
    return [[token for token in row if token is not None] for row in rows], result


def at_once(engines: Engines, orders: Callable[[], Said]) -> Said:
    """What ``orders`` returns; the leader's engine reads the first once the last is there."""
    client = engines.clients[0]
    client.process.send_signal(signal.SIGSTOP)
    try:
        said = orders()
        client.send("cancel", key="nobody's")  # when this is taken, all before it were written
        while not client._orders.empty():
            time.sleep(0.01)
    finally:
        client.process.send_signal(signal.SIGCONT)
    return said


def test_tokens_stream_and_the_result_has_them_all(pair: Engines) -> None:
    streamed, result = tokens(say(pair, "local"))
    assert result.fields["tokens"] == streamed
    assert [len(answer) for answer in streamed] == [6, 6]
    assert result.fields["ended"] == ["length", "length"]
    assert (result.fields["plan"], result.fields["fallback"]) == ("local", None)
    assert result.fields["wire_bytes"] == 0
    names = [span[0] for span in result.fields["spans"]]
    assert (names[0], names[-1]) == ("prefill", "decode")
    again = pair.ask(
        0,
        "generate",
        {"input_ids": IDS, "attention_mask": MASK},
        model="gpt2",
        plan="local",
        sampling={"max_new_tokens": 6},
    )
    assert again.fields["tokens"] == streamed


def test_plans_that_are_exact_say_the_same(pair: Engines) -> None:
    expected, _ = tokens(say(pair, "local"))
    for plan in ("voltage:p=2", "prism:p=2,l=6"):
        found, result = tokens(say(pair, plan))
        assert found == expected
        assert result.fields["fallback"] is None
        assert [busy_s > 0 for busy_s, _ in result.fields["efforts"]] == [True]
    compressed = tokens(say(pair, "prism:p=2,l=1", max_new_tokens=30))[0]
    assert compressed != tokens(say(pair, "local", max_new_tokens=30))[0]
    # ids of 2 bytes to the other rank; its rows of 16 floats before the second block of two
    assert result.fields["wire_bytes"] == 2 * (12 * 2 + 6 * 16 * 4)


def test_sampling_and_stops_are_obeyed(pair: Engines) -> None:
    hot = {"temperature": 2.0, "top_k": 30, "top_p": 0.95, "seed": 3}
    first, second = (tokens(say(pair, "local", **hot))[0] for _ in range(2))
    assert first == second
    assert first != tokens(say(pair, "local", **{**hot, "seed": 4}))[0]
    streamed, result = tokens(say(pair, "local", **hot, stop=[first[0][1]]))
    assert streamed[0] == first[0][: first[0].index(first[0][1]) + 1]
    assert result.fields["ended"][0] == "stop"


def test_what_is_refused_leaves_the_group_as_it_is(pair: Engines) -> None:
    with pytest.raises(InputError, match="does not generate text"):
        tokens(say(pair, "voltage:p=2", model="bare"))
    with pytest.raises(InputError, match="topk is no option"):
        tokens(say(pair, "voltage:p=2", topk=3))
    with pytest.raises(InputError, match="temperature is -1"):
        tokens(say(pair, "voltage:p=2", temperature=-1))
    with pytest.raises(PlanError, match="the leader generates alone"):
        tokens(say(pair, "split:p=2"))
    assert tokens(say(pair, "voltage:p=2"))[1].fields["fallback"] is None


def test_a_board_lost_in_the_prefill_costs_nothing_but_time(models: list[ModelSettings]) -> None:
    with start_engines(local_hosts(2), models, timeout_s=30.0) as engines:
        engines.join()
        expected, _ = tokens(say(engines, "local"))
        engines.clients[1].kill()
        found, result = tokens(say(engines, "voltage:p=2"))
        assert found == expected
        assert (result.fields["plan"], result.fields["wire_bytes"]) == ("local", 0)
        assert "rank 1" in result.fields["fallback"]
        found, result = tokens(say(engines, "voltage:p=2"))
        assert found == expected
        assert "only 1 of 2 boards" in result.fields["fallback"]


def test_a_board_lost_while_tokens_come_is_not_missed(models: list[ModelSettings]) -> None:
    with start_engines(local_hosts(2), models, timeout_s=30.0) as engines:
        engines.join()
        expected, _ = tokens(say(engines, "prism:p=2,l=2,dtype=fp32", max_new_tokens=300))
        messages = say(engines, "prism:p=2,l=2,dtype=fp32", max_new_tokens=300)
        first = next(messages)
        engines.clients[1].kill()
        found, result = tokens(iter([first, *messages]))
        assert found == expected
        assert (result.fields["plan"], result.fields["fallback"]) == (
            "prism:p=2,l=2,dtype=fp32",
            None,
        )


def test_generations_take_turns_and_other_orders_pass(pair: Engines) -> None:
    arrivals: list[str] = []
    arrays = {"input_ids": IDS, "attention_mask": MASK}

    def orders() -> tuple[list[Iterator[Message]], Future[Message]]:
        options = {"max_new_tokens": 300, "temperature": 2.0}
        long = [say(pair, "local", key=str(k), **options) for k in range(2)]
        ran = pair.clients[0].ask("run", arrays, model="gpt2", plan="voltage:p=2")
        ran.add_done_callback(lambda _: arrivals.append("run"))
        return long, ran

    long, ran = at_once(pair, orders)
    first, second = (tokens(one) for one in long)
    assert first[0] == second[0]
    assert [len(answer) for answer in first[0]] == [300, 300]
    arrivals.append("generations")
    assert arrivals == ["run", "generations"]
    assert ran.result().fields["fallback"] is None
    spans = [{s[0]: s for s in one[1].fields["spans"]}["decode"] for one in (first, second)]
    (a_start, a_took), (b_start, b_took) = ((s[1], s[2]) for s in spans)
    assert a_start < b_start + b_took  # they overlapped: neither waited for the other's last token
    assert b_start < a_start + a_took


def test_a_cancelled_generation_ends_with_what_it_has(pair: Engines) -> None:
    whole, _ = tokens(say(pair, "local", max_new_tokens=380))

    def orders() -> Iterator[Message]:
        messages = say(pair, "local", max_new_tokens=380, key="k")
        pair.clients[0].send("cancel", key="nobody's")
        pair.clients[0].send("cancel", key="k")
        pair.clients[0].send("cancel", key="k")  # over already: nothing to do
        return messages

    found, result = tokens(at_once(pair, orders))
    assert 1 <= len(found[0]) < 380
    assert found == [answer[: len(found[0])] for answer in whole]
    assert result.fields["tokens"] == found
    assert result.fields["ended"] == [None, None]
    assert tokens(say(pair, "local"))[0] == [answer[:6] for answer in whole]


@pytest.mark.parametrize("options", [{}, {"temperature": 1.3, "top_k": 20, "seed": 5}])
def test_another_engine_goes_on_where_one_was_lost(
    pair: Engines, options: dict[str, object]
) -> None:
    whole, _ = tokens(say(pair, "local", max_new_tokens=12, **options))
    ids = np.concatenate([IDS, np.array(whole)[:, :5]], axis=1)
    mask = np.concatenate([MASK, np.ones((2, 5), np.int64)], axis=1)
    rest = pair.ask(
        0,
        "generate",
        {"input_ids": ids, "attention_mask": mask},
        model="gpt2",
        plan="local",
        sampling={"max_new_tokens": 7, **options},
        said=5,
    )
    assert rest.fields["tokens"] == [answer[5:] for answer in whole]
