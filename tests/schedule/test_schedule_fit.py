"""What whole requests say about the cost model: its overheads, and how far off it is."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence
from statistics import mean

import pytest
from hypothesis import given
from hypothesis import strategies as st
from measured import profile

from prism_edge.plan import Method, Plan
from prism_edge.schedule.cost import Prediction, costs_of, predict
from prism_edge.schedule.fit import COVERED, FLOOR, UNKNOWN, Bands, Truth, fit_bands, fit_overheads
from prism_edge.schedule.panel import Overheads
from prism_edge.tables import Profile, RequestRow

EXTRA = Overheads(request_s=0.003, exchange_s=0.0012, byte_s=8e-9)
NOTHING = Overheads()
# predicted seconds, exchanges, exchanged bytes: local, prism at two batches, voltage at two
KINDS: tuple[tuple[Method, float, int, int], ...] = (
    ("local", 0.35, 0, 0),
    ("local", 1.3, 0, 0),
    ("prism", 0.20, 11, 168_960),
    ("prism", 0.75, 11, 675_840),
    ("voltage", 0.40, 11, 3_300_000),
    ("voltage", 1.50, 11, 13_000_000),
)


def truths(extra: Overheads, noise: float = 0.0, repeats: int = 10, seed: int = 0) -> list[Truth]:
    """Whole requests that take what is predicted and what is extra, times seeded noise."""
    draw = random.Random(seed)
    return [
        Truth(
            method=method,
            predicted_s=predicted_s,
            measured_s=(
                predicted_s
                + extra.request_s
                + extra.exchange_s * exchanges
                + extra.byte_s * exchanged_bytes
            )
            * (draw.lognormvariate(0, noise) if noise else 1.0),
            exchanges=exchanges,
            exchanged_bytes=exchanged_bytes,
            cell=cell,
        )
        for cell, (method, predicted_s, exchanges, exchanged_bytes) in enumerate(KINDS)
        for _ in range(repeats)
    ]


class TestOverheads:
    @given(st.floats(0, 0.01), st.floats(0, 0.01), st.floats(0, 1e-7))
    def test_they_are_found_to_the_letter(
        self, request_s: float, exchange_s: float, byte_s: float
    ) -> None:
        extra = Overheads(request_s=request_s, exchange_s=exchange_s, byte_s=byte_s)
        found = fit_overheads(truths(extra, repeats=1))
        assert found.request_s == pytest.approx(request_s, rel=1e-3, abs=1e-6)
        assert found.exchange_s == pytest.approx(exchange_s, rel=1e-3, abs=1e-6)
        assert found.byte_s == pytest.approx(byte_s, rel=1e-3, abs=1e-12)

    def test_noise_moves_them_little(self) -> None:
        for seed in range(5):
            found = fit_overheads(truths(EXTRA, noise=0.01, repeats=20, seed=seed))
            for said, true in zip(KINDS, truths(EXTRA, repeats=1), strict=True):
                total_s = (
                    true.predicted_s
                    + found.request_s
                    + found.exchange_s * said[2]
                    + found.byte_s * said[3]
                )
                assert total_s == pytest.approx(true.measured_s, rel=0.02)

    @given(st.lists(st.floats(0.2, 3), min_size=len(KINDS), max_size=len(KINDS)))
    def test_they_are_never_negative(self, factors: list[float]) -> None:
        wild = [
            dataclasses.replace(truth, measured_s=truth.measured_s * factor)
            for truth, factor in zip(truths(NOTHING, repeats=1), factors, strict=True)
        ]
        found = fit_overheads(wild)
        assert min(found.request_s, found.exchange_s, found.byte_s) >= 0

    def test_a_model_that_is_too_slow_has_none(self) -> None:
        fast = [
            dataclasses.replace(truth, measured_s=0.8 * truth.measured_s)
            for truth in truths(NOTHING)
        ]
        assert fit_overheads(fast) == NOTHING

    @given(st.lists(st.floats(0.2, 3), min_size=len(KINDS), max_size=len(KINDS)))
    def test_no_other_choice_of_them_is_better(self, factors: list[float]) -> None:
        wild = [
            dataclasses.replace(truth, measured_s=truth.measured_s * factor)
            for truth, factor in zip(truths(NOTHING, repeats=1), factors, strict=True)
        ]
        found = fit_overheads(wild)
        least = residual(wild, found)
        for name in ("request_s", "exchange_s", "byte_s"):
            for factor in (0.5, 0.95, 1.05, 2.0):
                value = getattr(found, name)
                step = 1e-9 if name == "byte_s" else 1e-4
                other = dataclasses.replace(found, **{name: value * factor or step})
                assert residual(wild, other) >= least * (1 - 1e-6) - 1e-12

    def test_one_request_in_ten_that_is_odd_moves_nothing(self) -> None:
        clean, seen = truths(EXTRA), truths(EXTRA)
        for k in range(0, len(seen), 10):
            seen[k] = dataclasses.replace(seen[k], measured_s=5 * seen[k].measured_s)
        assert fit_overheads(seen) == fit_overheads(clean)

    def test_without_requests_there_are_none(self) -> None:
        assert fit_overheads([]) == NOTHING


def residual(found: Sequence[Truth], extra: Overheads) -> float:
    return sum(
        (
            (
                truth.measured_s
                - truth.predicted_s
                - extra.request_s
                - extra.exchange_s * truth.exchanges
                - extra.byte_s * truth.exchanged_bytes
            )
            / truth.measured_s
        )
        ** 2
        for truth in found
    )


def covered(bands: Bands, extra: Overheads, fresh: Sequence[Truth]) -> float:
    inside = 0
    for truth in fresh:
        predicted_s = (
            truth.predicted_s
            + extra.request_s
            + extra.exchange_s * truth.exchanges
            + extra.byte_s * truth.exchanged_bytes
        )
        width = 1 + bands.of(truth.method)
        inside += predicted_s / width <= truth.measured_s <= predicted_s * width
    return inside / len(fresh)


class TestBands:
    @pytest.mark.parametrize("repeats", [5, 20])
    def test_new_requests_lie_inside_as_often_as_is_said(self, repeats: int) -> None:
        """Over twenty sessions with 10 % noise; few repeats make it wider, never narrower."""
        shares = []
        for seed in range(20):
            seen = truths(EXTRA, noise=0.10, repeats=repeats, seed=seed)
            extra = fit_overheads(seen)
            fresh = truths(EXTRA, noise=0.10, repeats=100, seed=1000 + seed)
            shares.append(covered(fit_bands(seen, extra), extra, fresh))
        assert COVERED - 0.03 <= mean(shares) <= 0.97

    def test_a_narrower_one_does_not_cover(self) -> None:
        """Negative control: half the width."""
        seen = truths(EXTRA, noise=0.10, repeats=20)
        bands = fit_bands(seen, EXTRA)
        half = Bands(by_method={name: width / 2 for name, width in bands.by_method.items()})
        assert covered(half, EXTRA, truths(EXTRA, noise=0.10, repeats=100, seed=1)) < 0.8

    def test_a_model_that_is_right_is_still_not_sure_of_other_sessions(self) -> None:
        assert set(fit_bands(truths(EXTRA), EXTRA).by_method.values()) == {FLOOR}

    def test_each_method_has_its_own(self) -> None:
        seen = [
            dataclasses.replace(t, measured_s=1.4 * t.measured_s) if t.method == "voltage" else t
            for t in truths(NOTHING, noise=0.01)
        ]
        bands = fit_bands(seen, NOTHING)
        assert bands.of("voltage") > 0.3
        assert bands.of("prism") == FLOOR

    def test_a_method_that_was_not_measured_is_as_far_off_as_the_worst(self) -> None:
        bands = Bands(by_method={"local": 0.06, "prism": 0.2})
        assert bands.of("split") == 0.2
        assert Bands().of("split") == UNKNOWN


def measured_profile(extra: Overheads) -> Profile:
    """A profile whose whole requests take what the rest of it says, and something more."""
    made = profile()
    bare = costs_of(made, "net")
    rows = []
    for text in ("local", "split:p=2", "prism:p=2,l=10,dtype=fp16", "voltage:p=2,dtype=fp32"):
        for batch in (1, 4, 8):
            found = predict(bare, Plan.parse(text), batch, 197, bare.link)
            if not isinstance(found, Prediction):
                continue
            latency_s = (
                found.latency_s
                + extra.request_s
                + extra.exchange_s * found.work.exchanges
                + extra.byte_s * found.work.exchanged_bytes
            )
            rows += [
                RequestRow(
                    plan=text, model="net", batch=batch, tokens=197, repeat=k, latency_s=latency_s
                )
                for k in range(3)
            ]
    return dataclasses.replace(made, request=tuple(rows))


def test_a_profiles_own_requests_become_the_costs_overheads() -> None:
    costs = costs_of(measured_profile(EXTRA), "net")
    assert costs.overheads.request_s == pytest.approx(EXTRA.request_s, rel=1e-3)
    assert costs.overheads.exchange_s == pytest.approx(EXTRA.exchange_s, rel=1e-3)
    assert costs.overheads.byte_s == pytest.approx(EXTRA.byte_s, rel=1e-3)
    assert set(costs.bands.by_method) == {"local", "split", "prism", "voltage"}
    found = predict(costs, Plan.parse("prism:p=2,l=10,dtype=fp16"), 2, 197, costs.link)
    assert isinstance(found, Prediction)
    assert found.terms["request_s"] == costs.overheads.request_s
    assert found.low_s == pytest.approx(found.latency_s / (1 + FLOOR))
    assert found.high_s == pytest.approx(found.latency_s * (1 + FLOOR))


def test_a_plan_that_was_never_measured_end_to_end_is_less_sure() -> None:
    bare = costs_of(profile(), "net")
    assert bare.overheads == NOTHING
    found = predict(bare, Plan.parse("local"), 2, 197, bare.link)
    assert isinstance(found, Prediction)
    assert found.high_s == pytest.approx(found.latency_s * (1 + UNKNOWN))


def test_another_link_makes_what_travels_less_sure() -> None:
    costs = costs_of(measured_profile(EXTRA), "net")
    assert costs.links is not None
    plan = Plan.parse("voltage:p=2")
    same, other = (
        predict(costs, plan, 4, 197, link) for link in (costs.link, costs.links.given(20e6))
    )
    assert isinstance(same, Prediction)
    assert isinstance(other, Prediction)
    assert other.high_s / other.latency_s > same.high_s / same.latency_s
    alone = [predict(costs, Plan.parse("local"), 4, 197, link) for link in (costs.link, None)]
    assert alone[0] == alone[1]
