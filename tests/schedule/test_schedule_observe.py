from __future__ import annotations

import math
import random
from statistics import median

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from measured import profile

from prism_edge.plan import LOCAL, Plan
from prism_edge.schedule.cost import costs_of
from prism_edge.schedule.link import LinkState
from prism_edge.schedule.observe import ComputeCorrection, LinkObserver
from prism_edge.schedule.policy import choose

ALPHA_S = 0.001
BASE = LinkState(alpha_s=ALPHA_S, bandwidth_bps=100e6, source="table")
PAYLOAD = 61_440


def took(rate_bps: float, payload_bytes: int = PAYLOAD, noise: float = 1.0) -> float:
    return (ALPHA_S + 8 * payload_bytes / rate_bps) * noise


def after(observer: LinkObserver, *seconds: float, exact: bool = True) -> LinkObserver:
    for number, value in enumerate(seconds):
        observer = observer.observe(
            payload_bytes=PAYLOAD, seconds=value, exact=exact, now_s=float(number)
        )
    return observer


def test_before_anything_was_seen_the_table_holds() -> None:
    assert LinkObserver(base=BASE).link == BASE


def test_agreement_becomes_an_observed_link() -> None:
    found = after(LinkObserver(base=BASE), took(95e6)).link
    assert found.source == "observed"
    assert found.alpha_s == ALPHA_S
    assert found.bandwidth_bps == pytest.approx(95e6)


@pytest.mark.parametrize("before", [1e6, 20e6, 100e6, 1e9])
@pytest.mark.parametrize("now", [1e6, 20e6, 100e6])
def test_a_step_is_seen_within_three_observations(before: float, now: float) -> None:
    settled = LinkObserver(base=BASE)
    for _ in range(8):
        settled = after(settled, took(before))
    stepped = after(settled, *[took(now)] * 3)
    # of 1 Gbit/s a small exchange only shows a lower bound; a rate that was seen is met within 5 %
    assert stepped.link.bandwidth_bps == pytest.approx(now, rel=0.05)


def test_a_step_that_is_within_noise_is_followed_too() -> None:
    settled = after(LinkObserver(base=BASE), *[took(100e6)] * 5)
    assert after(settled, *[took(80e6)] * 3).link.bandwidth_bps == pytest.approx(80e6)


def test_one_outlier_changes_nothing() -> None:
    settled = after(LinkObserver(base=BASE), *[took(100e6)] * 5)
    for odd in (took(1e6), took(100e6, noise=3.0), 1.0):
        once = after(settled, odd)
        assert once.link == settled.link
        assert after(once, took(100e6)).link.bandwidth_bps == pytest.approx(100e6)


def test_outliers_on_both_sides_are_no_change() -> None:
    settled = after(LinkObserver(base=BASE), *[took(20e6)] * 5)
    assert after(settled, took(2e6), took(90e6), took(2e6)).link == settled.link


@settings(max_examples=50)
@given(st.integers(0, 10_000))
def test_noise_does_not_make_it_flap(seed: int) -> None:
    rng = random.Random(seed)
    observer, seen = LinkObserver(base=BASE), []
    for _ in range(60):
        observer = after(observer, took(50e6, noise=rng.lognormvariate(0, 0.08)))
        seen.append(observer.link.bandwidth_bps)
    settled = seen[5:]
    assert all(50e6 / 1.4 < rate < 50e6 * 1.4 for rate in settled)
    assert median(settled) == pytest.approx(50e6, rel=0.1)


def test_the_choice_does_not_flap_on_noise_but_follows_a_step() -> None:
    costs = costs_of(profile(), "net")
    assert costs.link is not None
    rng = random.Random(3)
    observer, plan, chosen = LinkObserver(base=costs.link), None, []
    for number in range(60):
        rate = 100e6 if number < 30 else 1e6
        observer = after(observer, took(rate, noise=rng.lognormvariate(0, 0.15)))
        plan = choose(costs, batch=1, tokens=197, boards=2, link=observer.link, previous=plan).plan
        chosen.append(plan)
    assert all(made.method == "prism" for made in chosen[:30])
    assert chosen[32:] == [LOCAL] * 28


def test_on_a_shared_medium_both_ways_count() -> None:
    """61 kB each way in the time that 123 kB take one way: the medium is as fast as it was."""
    observer = LinkObserver(base=BASE, ways=2)
    assert after(observer, took(50e6)).link.bandwidth_bps == pytest.approx(100e6)
    assert observer.probe_due(0.0, idle=True) == 125_000


class TestBounds:
    """Transfers that were over before anybody looked, or too small to tell."""

    def test_at_most_that_long_says_nothing_against_the_estimate(self) -> None:
        observer = LinkObserver(base=BASE)
        assert after(observer, took(20e6), took(1e6), exact=False) == observer

    def test_at_most_that_long_raises_an_estimate_that_is_too_low(self) -> None:
        settled = after(LinkObserver(base=BASE), *[took(1e6)] * 5)
        raised = after(settled, *[took(100e6)] * 3, exact=False)
        assert raised.link.bandwidth_bps > 50e6

    def test_tiny_messages_say_nothing_about_bandwidth(self) -> None:
        observer = LinkObserver(base=BASE)
        for noise in (0.7, 1.0, 2.0, 4.0):
            seconds = took(100e6, 1024, noise)
            if seconds - ALPHA_S < 0.3 * seconds:
                same = observer.observe(payload_bytes=1024, seconds=seconds, exact=True, now_s=1.0)
                assert same == observer

    def test_tiny_messages_on_a_collapsed_link_do(self) -> None:
        observer = LinkObserver(base=BASE)
        for _ in range(3):
            observer = observer.observe(
                payload_bytes=1536, seconds=took(1e6, 1536), exact=True, now_s=0.0
            )
        assert observer.link.bandwidth_bps == pytest.approx(1e6)

    def test_faster_than_a_message_can_be(self) -> None:
        """Less than alpha: the table's alpha is too pessimistic; only a lower bound remains."""
        observer = after(LinkObserver(base=BASE), *[ALPHA_S / 2] * 3)
        assert observer.link.bandwidth_bps > 100e6
        assert math.isfinite(observer.link.bandwidth_bps)

    @pytest.mark.parametrize(("payload_bytes", "seconds"), [(0, 0.1), (1000, 0.0), (-1, 0.1)])
    def test_nonsense_is_ignored(self, payload_bytes: int, seconds: float) -> None:
        observer = LinkObserver(base=BASE)
        same = observer.observe(payload_bytes=payload_bytes, seconds=seconds, exact=True, now_s=0.0)
        assert same is observer


@given(st.lists(st.tuples(st.integers(1, 10**7), st.floats(1e-6, 100), st.booleans()), max_size=30))
def test_the_estimate_is_always_a_link(observations: list[tuple[int, float, bool]]) -> None:
    observer = LinkObserver(base=BASE)
    for payload_bytes, seconds, exact in observations:
        observer = observer.observe(
            payload_bytes=payload_bytes, seconds=seconds, exact=exact, now_s=0.0
        )
        assert 0 < observer.link.bandwidth_bps < math.inf
        assert len(observer.samples) <= 5


class TestProbes:
    def test_only_when_idle_and_nothing_was_seen_lately(self) -> None:
        fresh = LinkObserver(base=BASE)
        assert fresh.probe_due(0.0, idle=True) is not None
        assert fresh.probe_due(0.0, idle=False) is None
        seen = fresh.observe(payload_bytes=PAYLOAD, seconds=took(90e6), exact=True, now_s=10.0)
        assert seen.probe_due(11.0, idle=True) is None
        assert seen.probe_due(11.6, idle=True) is not None
        assert seen.probe_due(11.6, idle=False) is None

    def test_what_taught_nothing_does_not_delay_a_probe(self) -> None:
        seen = LinkObserver(base=BASE).observe(
            payload_bytes=100, seconds=ALPHA_S, exact=True, now_s=10.0
        )
        assert seen.probe_due(10.1, idle=True) is not None

    def test_a_doubt_is_checked_soon(self) -> None:
        settled = after(LinkObserver(base=BASE), *[took(100e6)] * 5)
        doubting = settled.observe(payload_bytes=PAYLOAD, seconds=took(1e6), exact=True, now_s=10.0)
        assert doubting.probe_due(10.1, idle=True) is None
        assert doubting.probe_due(10.3, idle=True) is not None

    @pytest.mark.parametrize(
        ("rate", "expected"),
        [(1e6, 32 * 1024), (50e6, 125_000), (100e6, 250_000), (10e9, 512 * 1024)],
    )
    def test_the_size_takes_about_20_ms(self, rate: float, expected: int) -> None:
        state = LinkState(alpha_s=ALPHA_S, bandwidth_bps=rate, source="table")
        assert LinkObserver(base=state).probe_due(0.0, idle=True) == expected

    def test_a_link_without_limit_is_probed_with_the_most(self) -> None:
        state = LinkState(alpha_s=0.0, bandwidth_bps=math.inf, source="table")
        observer = LinkObserver(base=state)
        assert observer.probe_due(0.0, idle=True) == 512 * 1024
        assert after(observer, *[took(1e6)] * 3).link.bandwidth_bps == pytest.approx(1e6, rel=0.05)


class TestCorrection:
    plan = Plan.parse("prism:p=2,l=10,dtype=fp16")

    def hot(self, times: int, ratio: float = 2.0) -> ComputeCorrection:
        made = ComputeCorrection()
        for number in range(times):
            made = made.observe(self.plan, 4, observed_s=ratio, predicted_s=1.0, now_s=0.1 * number)
        return made

    def test_unseen_is_one(self) -> None:
        assert ComputeCorrection().factor(LOCAL, 1, 0.0) == 1
        assert self.hot(9).factor(self.plan, 8, 1.0) == 1
        assert self.hot(9).factor(LOCAL, 4, 1.0) == 1

    def test_it_moves_by_degrees(self) -> None:
        assert self.hot(1).factor(self.plan, 4, 0.0) == pytest.approx(1.3)
        assert self.hot(20).factor(self.plan, 4, 2.0) == pytest.approx(2.0, rel=0.02)

    @pytest.mark.parametrize(("ratio", "bound"), [(100.0, 3.0), (0.001, 0.5)])
    def test_it_is_bounded(self, ratio: float, bound: float) -> None:
        assert self.hot(50, ratio).factor(self.plan, 4, 5.0) == pytest.approx(bound, rel=0.05)

    def test_it_fades_when_it_is_not_renewed(self) -> None:
        made = self.hot(30)
        assert made.factor(self.plan, 4, 2.0 + 120) < 1.4
        assert made.factor(self.plan, 4, 1e6) == pytest.approx(1)

    def test_nonsense_is_ignored(self) -> None:
        made = ComputeCorrection()
        assert made.observe(LOCAL, 1, observed_s=0.0, predicted_s=1.0, now_s=0.0) is made
        assert made.observe(LOCAL, 1, observed_s=1.0, predicted_s=0.0, now_s=0.0) is made
