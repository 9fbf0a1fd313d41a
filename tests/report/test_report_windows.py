"""Energy of a group is mean power times mean length, over all boards, or a reason why not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from prism_edge.energy.sample import Sample
from prism_edge.report.windows import group_energy, power_logs


def sampled(
    board: str, watts: Callable[[float], float], until_s: float = 60.0, every_s: float = 0.1
) -> list[Sample]:
    count = int(until_s / every_s) + 1
    times = [every_s * k for k in range(count)]
    return [Sample(board=board, t_s=t, power_w=watts(t), source="modelled") for t in times]


def both(a: list[Sample], b: list[Sample]) -> dict[str, list[Sample]]:
    return {"a": a, "b": b}


WINDOWS = [(float(t), float(t) + 2.0) for t in range(0, 40, 4)]


def test_constant_power_is_power_times_length_with_idle_boards_in_it() -> None:
    samples = both(sampled("a", lambda _: 10.0), sampled("b", lambda _: 4.0))
    found = group_energy(["a", "b"], power_logs(samples, ["a", "b"]), WINDOWS)
    assert found.energy_j == pytest.approx((10 + 4) * 2.0)
    assert found.mean_w == pytest.approx(14.0)
    assert (found.n, found.reliable, found.missing) == (10, True, None)
    assert found.coverage == pytest.approx(1.0)
    assert found.low_j == pytest.approx(28.0)
    # negative control: the busy board alone is not the cluster
    alone = group_energy(["a"], power_logs(samples, ["a"]), WINDOWS)
    assert alone.energy_j == pytest.approx(20.0)


def test_only_the_windows_count() -> None:
    def watts(t_s: float) -> float:
        return 10.0 if t_s % 4 <= 2.0 else 5.0

    samples = {"a": sampled("a", watts, every_s=0.05)}
    found = group_energy(["a"], power_logs(samples, ["a"]), WINDOWS)
    assert found.energy_j == pytest.approx(20.0, rel=0.02)
    whole = group_energy(["a"], power_logs(samples, ["a"]), [(0.0, 40.0)])
    assert whole.mean_w == pytest.approx(7.5, rel=0.02)


def test_a_silent_board_makes_the_sum_unknown() -> None:
    samples = {"a": sampled("a", lambda _: 10.0)}
    found = group_energy(["a", "b"], power_logs(samples, ["a", "b"]), WINDOWS)
    assert (found.energy_j, found.mean_w, found.low_j) == (None, None, None)
    assert found.missing == "samples of b cover 0 % of the time; 90 % are needed"
    assert (found.samples, found.coverage) == (0, 0.0)


@pytest.mark.parametrize(("gap_s", "known"), [(1.0, True), (5.0, False)])
def test_a_gap_is_bridged_by_the_mean_only_while_it_is_small(gap_s: float, known: bool) -> None:
    gone = [s for s in sampled("a", lambda _: 10.0) if not 0.0 <= s.t_s - 4.0 <= gap_s]
    found = group_energy(["a"], power_logs({"a": gone}, ["a"]), WINDOWS)
    assert (found.energy_j is not None) is known
    assert found.coverage < 0.96
    if known:
        assert found.energy_j == pytest.approx(20.0)


def test_few_samples_are_unreliable() -> None:
    logs = power_logs({"a": sampled("a", lambda _: 10.0)}, ["a"])
    few = group_energy(["a"], logs, [(1.0, 2.9)])
    assert few.energy_j == pytest.approx(19.0)
    assert (few.reliable, few.low_j) == (False, None)
    assert few.samples == pytest.approx(19, abs=1)
    assert group_energy(["a"], logs, [(1.0, 3.3)]).reliable


def test_short_windows_count_together() -> None:
    logs = power_logs({"a": sampled("a", lambda t: 10.0 + t)}, ["a"])
    windows = [(t + 0.03, t + 0.07) for t in range(50)]  # none of them holds a sample
    found = group_energy(["a"], logs, windows)
    assert found.samples == 0
    assert not found.reliable
    assert found.coverage == pytest.approx(1.0)
    assert found.mean_w == pytest.approx(10 + 24.55, rel=0.01)


def test_each_board_has_its_own_interval() -> None:
    samples = both(sampled("a", lambda _: 1.0), sampled("b", lambda _: 1.0, every_s=0.5))
    assert [log.interval_s for log in power_logs(samples, ["a", "b"])] == pytest.approx([0.1, 0.5])
    found = group_energy(["a", "b"], power_logs(samples, ["a", "b"]), WINDOWS)
    assert found.energy_j == pytest.approx(4.0)


def test_nothing_to_integrate_says_so() -> None:
    logs = power_logs({"a": sampled("a", lambda _: 1.0)}, ["a"])
    assert group_energy(["a"], logs, []).missing == "no request was answered"
    assert group_energy(["a"], logs, [(5.0, 5.0), (9.0, 8.0)]).missing == "no request was answered"
    assert group_energy([], [], WINDOWS).missing == "no board sent power samples"
    one = power_logs({"a": sampled("a", lambda _: 1.0)[:1]}, ["a"])
    assert group_energy(["a"], one, WINDOWS).energy_j is None
