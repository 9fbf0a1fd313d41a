"""What the loop of the ranks promises besides the laws of tests/laws: order, losses, spans, sinks.

Errors are relative to the spread of the outputs; fp32 nets of four blocks are right to 1e-5.
"""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from nets import Net, error, noise, over_loopback, padding, rows
from simulator import plain, simulate
from torch import Tensor

from prism_edge.errors import ClusterError, PeerLostError, PlanError
from prism_edge.layout import segment_sizes
from prism_edge.plan import LOCAL, Plan
from prism_edge.request import follow, lead
from prism_edge.spans import Recorder
from prism_edge.transport import Pending
from prism_edge.transport.loopback import Loopback, loopback_group, run_ranks

EXACT = 1e-5
VISIBLE = 1e-2  # a control is a mistake of at least this size

ALL = [
    "split:p=2",
    "voltage:p=2",
    "prism:p=2,l=3",
    "prism:p=2,l=3/0/2/4,dtype=int8,tap=before,share=2/1",
    "prism:p=2,l=3,pieces=2",
    "split+prism:p=2,l=3",
]


# sinks


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        ({"lead": 1}, [(1, 6, 5), (4, 4, 4)]),
        ({"trail": 1}, [(4, 4, 4), (6, 5, 1)]),
        ({"lead": 1, "trail": 1}, [(1, 6, 5), (6, 5, 1)]),
    ],
)
@pytest.mark.parametrize("causal", [False, True])
def test_sinks_travel_exactly(
    ends: dict[str, int], expected: list[tuple[int, ...]], causal: bool
) -> None:
    """Peers see the tokens at the ends as they are; behind a mask nobody hears the trailing one."""
    x = noise(2, 24, 32)
    lead_tokens, trail = ends.get("lead", 0), ends.get("trail", 0)
    segments = [segment_sizes(12, 3, lead=lead_tokens), segment_sizes(12, 3, trail=trail)]
    assert segments == expected
    found = rows(Net(causal=causal, **ends), "prism:p=2,l=3", x)
    assert error(found, simulate(Net().blocks, x, segments, causal=causal)) < EXACT
    if lead_tokens or not causal:
        assert error(found, rows(Net(causal=causal), "prism:p=2,l=3", x)) > VISIBLE


# order of messages


class Watched:
    """A transport that notes what its rank does: ask, wait (of a receive, by its number), send."""

    def __init__(self, inner: Loopback) -> None:
        self.inner = inner
        self.rank, self.size, self.staging = inner.rank, inner.size, inner.staging
        self.tally = inner.tally
        self.log: list[tuple[str, int]] = []
        self._counts = {"ask": 0, "send": 0}

    @property
    def sent_bytes(self) -> int:
        return self.inner.sent_bytes

    @sent_bytes.setter
    def sent_bytes(self, value: int) -> None:
        self.inner.sent_bytes = value

    def begin(self, sends: Mapping[int, Tensor], receives: Mapping[int, int]) -> Pending:
        number = -1
        for kind, some in (("send", sends), ("ask", receives)):
            if some:
                number = self._counts[kind]
                self._counts[kind] += 1
                self.log.append((kind, number))
        pending = self.inner.begin(sends, receives)
        return WatchedPending(self, pending, number) if receives else pending

    def abort(self) -> None:
        self.inner.abort()

    def close(self) -> None:
        self.inner.close()


class WatchedPending:
    def __init__(self, owner: Watched, inner: Pending, number: int) -> None:
        self._owner, self._inner, self._number = owner, inner, number

    def wait(self, timeout_s: float | None = None) -> dict[int, Tensor]:
        self._owner.log.append(("wait", self._number))
        return self._inner.wait(timeout_s)


@pytest.mark.parametrize("plan", ["prism:p=2,l=3", "voltage:p=2", "prism:p=2,l=3,pieces=2"])
def test_receives_are_asked_for_before_the_message_in_front_of_them_is_waited_for(
    plan: str,
) -> None:
    """So a message arrives while its receiver computes; and nobody waits before having sent."""
    net, x = Net(blocks=6), noise(2, 24, 32)
    ends = [Watched(end) for end in loopback_group(2, 20.0)]
    run_ranks(
        [
            lambda: lead(net, "net", Plan.parse(plan), {"x": x}, ends[0], Recorder()),
            lambda: follow({"net": net}, ends[1]),
        ]
    )
    log = ends[0].log
    pieces = Plan.parse(plan).pieces or 1
    exchanges = 5 * pieces
    assert log.count(("ask", 0)) == 1
    before = [log.index(("send", number)) for number in range(sum(k == "send" for k, _ in log))]
    first_of_blocks = len(before) - exchanges  # headers, inputs
    for number in range(exchanges):
        waited = log.index(("wait", number))
        assert before[first_of_blocks + number] < waited, "waits before it has sent"
        ahead = number + pieces  # the same piece's next block
        if ahead < exchanges:
            assert log.index(("ask", ahead)) < waited, "asks for nothing ahead"
    waits = [number for kind, number in log if kind == "wait"]
    assert waits == sorted(waits)


@pytest.mark.parametrize("plan", ["prism:p=3,l=4", "voltage:p=3"])
def test_causal_ranks_never_send_back(plan: str) -> None:
    """Rank 1 owns the first tokens: it hears nothing but its request; the leader sends no rows."""
    net, x = Net(causal=True, needs="last"), noise(1, 24, 32)
    ends = [Watched(end) for end in loopback_group(3, 20.0)]
    run_ranks(
        [
            lambda: lead(net, "net", Plan.parse(plan), {"x": x}, ends[0], Recorder()),
            *[lambda end=end: follow({"net": net}, end) for end in ends[1:]],
        ]
    )
    asked = [sum(kind == "ask" for kind, _ in end.log) for end in ends]
    sent = [sum(kind == "send" for kind, _ in end.log) for end in ends]
    assert asked == [3, 2, 2 + 2]  # a header and a body each; rank 2 is not needed at the end
    assert sent == [2 * 2, 3, 3]


# pieces of a batch


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("pieces", [2, 3, 8])
@pytest.mark.parametrize(
    "plan",
    [
        "prism:p=2,l=3",
        "prism:p=3,l=4/0/2/1,tap=before,share=3/2/1",
        "voltage:p=2",
        "split+prism:p=4,l=3",
    ],
)
def test_a_batch_in_pieces_is_answered_as_in_one(plan: str, pieces: int, causal: bool) -> None:
    net, x, real = Net(causal=causal), noise(3, 24, 32), padding([24, 7, 15], 24)
    keep = real.bool()
    whole = rows(net, plan, x, real)[keep]
    assert error(rows(net, f"{plan},pieces={pieces}", x, real)[keep], whole) < EXACT
    # the control: the samples in another order
    mixed = rows(net, f"{plan},pieces={pieces}", x.flip(0), real)[keep]
    assert error(mixed, whole) > VISIBLE


# spans


@pytest.mark.parametrize("pieces", [1, 2])
def test_spans_say_what_was_moved_and_waited_for(pieces: int) -> None:
    net, x, recorder = Net(), noise(2, 24, 32), Recorder()
    group = loopback_group(2, 20.0)
    plan = Plan.parse(f"prism:p=2,l=3,dtype=fp16,pieces={pieces}")
    run_ranks(
        [
            lambda: lead(net, "net", plan, {"x": x}, group[0], recorder),
            lambda: follow({"net": net}, group[1]),
        ]
    )
    names = [span.name for span in recorder.spans]
    exchanges = 3 * pieces  # four blocks, the first one free
    assert names.count("exchange") == names.count("wait") == exchanges
    assert recorder.total_bytes("exchange") == 3 * 2 * 3 * 32 * 2  # three rows of fp16, twice
    assert {"scatter", "gather", "head"} <= set(names)
    waits = [span for span in recorder.spans if span.name == "wait"]
    exchanged = [span for span in recorder.spans if span.name == "exchange"]
    for wait, exchange in zip(waits, exchanged, strict=True):
        assert exchange.start_s <= wait.start_s <= wait.stop_s == exchange.stop_s


def test_local_needs_nobody() -> None:
    recorder = Recorder()
    found = lead(Net(), "net", LOCAL, {"x": noise(1, 9, 32)}, None, recorder)
    assert found["rows"].shape == (1, 9, 32)
    assert [span.name for span in recorder.spans] == ["compute"]


# who is asked, and what when nobody answers


@pytest.mark.parametrize(
    ("plan", "batch", "asked"),
    [
        ("split:p=4", 1, []),
        ("split:p=4", 2, [1]),
        ("split:p=4,share=2/0/1/1", 4, [2, 3]),
        ("split+prism:p=4,l=2", 4, [1, 2, 3]),
    ],
)
def test_a_rank_without_a_sample_is_not_asked(plan: str, batch: int, asked: list[int]) -> None:
    """Those that are not asked need not even be there."""
    net, x, group = Net(), noise(batch, 24, 32), loopback_group(4, 20.0)
    for rank in {1, 2, 3} - set(asked):
        group[rank].close()
    found = run_ranks(
        [
            lambda: lead(net, "net", Plan.parse(plan), {"x": x}, group[0], Recorder())["rows"],
            *[lambda rank=rank: follow({"net": net}, group[rank]) for rank in asked],
        ]
    )[0]
    assert error(found, plain(net.blocks, x)) < EXACT
    answered = [rank for rank in (1, 2, 3) if group[rank].sent_bytes]
    assert answered == asked


@pytest.mark.parametrize(
    ("plan", "batch", "reason"),
    [
        ("prism:p=3,l=2", 2, "3 ranks, but 2 board"),
        ("prism:p=2,l=13", 2, "at most l=12"),
        ("prism:p=2,l=3/3", 2, "l has 2 numbers, the model 4 blocks"),
        ("split+prism:p=2,l=13", 3, "at most l=12"),
        ("voltage:p=2,share=99/1", 2, "2 ranks cannot share 24 tokens"),
        ("split:p=2", 0, "a batch of 0"),
    ],
)
def test_a_plan_that_does_not_fit_sends_nothing(plan: str, batch: int, reason: str) -> None:
    group = loopback_group(2)
    inputs = {"x": noise(batch, 24, 32)}
    with pytest.raises(PlanError, match=reason):
        lead(Net(), "net", Plan.parse(plan), inputs, group[0], Recorder())
    assert group[0].sent_bytes == 0


@pytest.mark.parametrize("plan", ALL)
def test_a_lost_rank_leaves_the_request_answerable(plan: str) -> None:
    net, inputs, group = Net(), {"x": noise(3, 24, 32)}, loopback_group(2)
    before = inputs["x"].clone()
    group[1].close()
    with pytest.raises(PeerLostError, match="rank 1 has left"):
        lead(net, "net", Plan.parse(plan), inputs, group[0], Recorder())
    assert torch.equal(inputs["x"], before)
    assert error(rows(net, "local", inputs["x"]), plain(net.blocks, before)) < EXACT


def test_a_model_that_a_rank_does_not_have_is_named() -> None:
    group = loopback_group(2, 20.0)
    group[1].close()
    with pytest.raises(PeerLostError):
        lead(Net(), "other", Plan.parse("split:p=2"), {"x": noise(2, 9, 32)}, group[0], Recorder())
    with pytest.raises(ClusterError, match=r"model 'other', which is not here \(models: net\)"):
        follow({"net": Net()}, group[1])


@pytest.mark.parametrize("causal", [False, True])
def test_a_worker_serves_request_after_request(causal: bool) -> None:
    net, group = Net(causal=causal), loopback_group(2, 20.0)
    x = noise(3, 24, 32)
    asked = [part for plan in ALL for part, _ in Plan.parse(plan).parts(3)]
    answers, served = run_ranks(
        [
            lambda: [
                lead(net, "net", Plan.parse(plan), {"x": x}, group[0], Recorder())["rows"]
                for plan in ALL
            ],
            lambda: [follow({"net": net}, group[1]).plan for _ in asked],
        ]
    )
    assert served == asked
    for plan, answer in zip(ALL, answers, strict=True):
        assert torch.equal(answer, over_loopback(net, plan, {"x": x})[0]["rows"])
