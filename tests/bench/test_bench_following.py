"""A change is followed when the first decision that tells is good; who keeps a plan never flaps."""

from __future__ import annotations

from dataclasses import replace

from played import SPLIT, played

from prism_edge.bench.contest import Round
from prism_edge.bench.following import SETTLED, flapping, reactions
from prism_edge.bench.score import oracle

FAST, SLOW = {"local": 2.0, SPLIT: 1.0}, {"local": 2.0, SPLIT: 5.0}
ALIKE = {"local": 1.02, SPLIT: 1.0}


def asked(situation: int, seconds: dict[str, float], chosen: str, batch: int = 4) -> list[Round]:
    """Requests two seconds apart; a letter each: l local, s split."""
    plans = {"l": "local", "s": SPLIT}
    return [
        played(situation, batch, plans[letter], seconds, at_s=2.0 * k)
        for k, letter in enumerate(chosen)
    ]


def test_late_answers_are_counted_until_the_first_good_one() -> None:
    rounds = [*asked(0, FAST, "ss"), *asked(1, SLOW, "sslll"), *asked(2, FAST, "lsss")]
    slow, fast = reactions(rounds, oracle(rounds))
    assert (slow.situation, slow.requests, slow.seconds) == (1, 2, 4.0)
    assert (fast.requests, fast.seconds, fast.followed, fast.telling) == (1, 2.0, True, 4)


def test_who_follows_at_once_takes_no_time() -> None:
    rounds = [*asked(0, FAST, "ss"), *asked(1, SLOW, "lll")]
    (one,) = reactions(rounds, oracle(rounds))
    assert (one.requests, one.seconds, one.followed) == (0, 0.0, True)


def test_who_never_follows_is_told_so() -> None:
    rounds = [*asked(0, FAST, "ss"), *asked(1, SLOW, "ssss")]
    (one,) = reactions(rounds, oracle(rounds))
    assert (one.requests, one.seconds, one.followed, one.in_time) == (4, 6.0, False, False)


def test_in_time_is_within_three_requests_or_two_seconds() -> None:
    many = [*asked(0, FAST, "ss"), *asked(1, SLOW, "ssssl")]
    few = [*asked(0, FAST, "ss"), *asked(1, SLOW, "sssl")]
    quick = [replace(one, at_s=one.at_s / 8) for one in many]
    assert [reactions(rounds, oracle(rounds))[0].in_time for rounds in (many, few, quick)] == [
        False,
        True,
        True,
    ]


def test_a_good_plan_that_was_chosen_before_anyway_says_nothing() -> None:
    before = [*asked(0, FAST, "ss"), *asked(0, ALIKE, "s", batch=1)]
    after = [
        *asked(1, ALIKE, "s", batch=1),  # good, but it would have been good in any case
        *asked(1, SLOW, "sl"),
    ]
    (one,) = reactions(before + after, oracle(before + after))
    assert (one.requests, one.telling, one.followed) == (1, 2, True)


def test_a_batch_size_that_did_not_come_before_tells_nothing() -> None:
    rounds = [
        *asked(0, FAST, "ss"),
        *asked(1, SLOW, "l", batch=1),  # good, but of no plan that was held before
        *asked(1, SLOW, "ssl"),
    ]
    (one,) = reactions(rounds, oracle(rounds))
    assert (one.requests, one.telling, one.followed) == (2, 3, True)


def test_where_nothing_had_to_change_a_good_answer_is_enough() -> None:
    rounds = [*asked(0, FAST, "ss"), *asked(1, FAST, "ss"), *asked(2, FAST, "ls")]
    same, worse = reactions(rounds, oracle(rounds))
    assert (same.requests, same.telling, same.followed) == (0, 0, True)
    assert (worse.requests, worse.followed) == (1, True)  # it left a plan that was good


def test_a_plan_as_good_within_five_percent_counts_as_good() -> None:
    rounds = [*asked(0, SLOW, "ll"), *asked(1, ALIKE, "ll")]
    (one,) = reactions(rounds, oracle(rounds))
    assert (one.requests, one.telling) == (0, 0)


def test_switches_are_counted_by_batch_size_after_a_while() -> None:
    start = "s" * SETTLED
    calm = flapping(asked(0, FAST, start + "ssss"), [True])
    assert (calm.switches, calm.chances, calm.per_100) == (0, 3, 0.0)
    restless = flapping(asked(0, FAST, start + "slsl"), [True])
    assert (restless.switches, restless.per_100) == (3, 100.0)
    sizes = asked(0, FAST, start)
    for _ in range(4):
        sizes += [*asked(0, FAST, "s"), *asked(0, FAST, "l", batch=1)]
    assert flapping(sizes, [True]).switches == 0


def test_switches_right_after_a_change_or_in_short_situations_are_none() -> None:
    reacting = flapping(asked(0, FAST, "sl" * (SETTLED // 2) + "ll"), [True])
    assert (reacting.switches, reacting.chances) == (0, 1)
    short = flapping(asked(0, FAST, "sl" * SETTLED), [False])
    assert (short.switches, short.per_100) == (0, None)
    rounds = asked(0, FAST, "s" * SETTLED + "s") + asked(1, FAST, "l" * SETTLED + "l")
    assert flapping(rounds, [True, True]).switches == 0
