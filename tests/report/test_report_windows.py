"""Energy of a group is what its batches are charged on the mean, or a reason why not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from prism_edge.energy.sample import Sample
from prism_edge.energy.shares import InFlight
from prism_edge.report.windows import GroupEnergy, group_energy, power_logs


def sampled(
    board: str, watts: Callable[[float], float], until_s: float = 60.0, every_s: float = 0.1
) -> list[Sample]:
    count = int(until_s / every_s) + 1
    times = [every_s * k for k in range(count)]
    return [Sample(board=board, t_s=t, power_w=watts(t), source="modelled") for t in times]


def both(a: list[Sample], b: list[Sample]) -> dict[str, list[Sample]]:
    return {"a": a, "b": b}


def grouped(
    samples: dict[str, list[Sample]],
    windows: list[tuple[float, float]],
    beside: list[tuple[float, float]] | None = None,
) -> GroupEnergy:
    """The energy of the batches in ``windows``, with others ``beside`` them that are no part."""
    spans = [*windows, *(beside or [])]
    requests = [InFlight(id=str(i), start_s=a, stop_s=b) for i, (a, b) in enumerate(spans)]
    logs = power_logs(samples, list(samples), requests)
    return group_energy(logs, requests[: len(windows)])


WINDOWS = [(float(t), float(t) + 2.0) for t in range(0, 40, 4)]


def test_constant_power_is_power_times_length_with_idle_boards_in_it() -> None:
    samples = both(sampled("a", lambda _: 10.0), sampled("b", lambda _: 4.0))
    found = grouped(samples, WINDOWS)
    assert found.energy_j == pytest.approx((10 + 4) * 2.0)
    assert found.mean_w == pytest.approx(14.0)
    assert (found.n, found.reliable, found.missing) == (10, True, None)
    assert found.coverage == pytest.approx(1.0)
    assert found.low_j == pytest.approx(28.0, rel=0.001)
    # negative control: the busy board alone is not the cluster
    assert grouped({"a": samples["a"]}, WINDOWS).energy_j == pytest.approx(20.0)


def test_only_the_windows_count() -> None:
    def watts(t_s: float) -> float:
        return 10.0 if t_s % 4 <= 2.0 else 5.0

    samples = {"a": sampled("a", watts, every_s=0.05)}
    assert grouped(samples, WINDOWS).energy_j == pytest.approx(20.0, rel=0.02)
    assert grouped(samples, [(0.0, 40.0)]).mean_w == pytest.approx(7.5, rel=0.02)


def test_batches_beside_each_other_are_charged_once() -> None:
    samples = {"a": sampled("a", lambda _: 10.0)}
    found = grouped(samples, WINDOWS, beside=[(t + 1.0, t + 2.0) for t, _ in WINDOWS])
    assert found.energy_j == pytest.approx(10.0 + 5.0)
    assert found.mean_w == pytest.approx(10.0)


def test_the_interval_is_students_of_the_scatter_and_never_less_than_what_was_not_seen() -> None:
    """Energies 20, 22, 24, 26, 28, 30 J: s / sqrt(n) = 1.527, t(5) about 2.57 to 2.78."""
    samples = {"a": sampled("a", lambda t: 10.0 + int(t / 4), every_s=0.05)}
    found = grouped(samples, [(4.0 * k + 0.5, 4.0 * k + 2.5) for k in range(6)])
    assert found.energy_j == pytest.approx(25.0)
    assert found.low_j is not None
    assert 2.5 * 1.527 <= 25.0 - found.low_j <= 2.8 * 1.527

    def bursts(t_s: float) -> float:
        return 10.0 if round(t_s * 10) % 2 else 5.0

    same = grouped({"a": sampled("a", bursts)}, WINDOWS)  # no scatter, but much was not seen
    assert same.energy_j is not None
    assert same.low_j is not None
    assert same.energy_j - same.low_j > 0.2
    assert grouped(samples, WINDOWS[:5]).low_j is None  # too few for an interval


def test_a_silent_board_makes_the_sum_unknown() -> None:
    found = grouped(both(sampled("a", lambda _: 10.0), []), WINDOWS)
    assert (found.energy_j, found.mean_w, found.low_j) == (None, None, None)
    assert found.missing == "samples of b cover 0 % of the time; 90 % are needed"
    assert (found.samples, found.coverage) == (0, 0.0)


@pytest.mark.parametrize(("gap_s", "known"), [(1.0, True), (5.0, False)])
def test_a_gap_is_left_out_only_while_it_is_small(gap_s: float, known: bool) -> None:
    gone = [s for s in sampled("a", lambda _: 10.0) if not 0.0 <= s.t_s - 4.0 <= gap_s]
    found = grouped({"a": gone}, WINDOWS)
    assert (found.energy_j is not None) is known
    assert found.coverage < 0.96
    if known:
        assert found.energy_j == pytest.approx(20.0)


def test_a_gap_of_one_board_is_filled_with_its_own_power_only() -> None:
    gone = [s for s in sampled("b", lambda _: 1.0) if not 3.0 < s.t_s < 4.6]
    found = grouped(both(sampled("a", lambda _: 10.0), gone), [(0.0, 20.0), (20.0, 40.0)])
    assert found.coverage == pytest.approx(0.96, abs=0.01)
    assert found.energy_j == pytest.approx(20 * 11.0, rel=1e-3)


def test_few_samples_are_unreliable() -> None:
    samples = {"a": sampled("a", lambda _: 10.0)}
    few = grouped(samples, [(1.0, 2.9)])
    assert few.energy_j == pytest.approx(19.0)
    assert (few.reliable, few.low_j) == (False, None)
    assert few.samples == pytest.approx(19, abs=1)
    assert grouped(samples, [(1.0, 3.3)]).reliable


def test_short_windows_count_together() -> None:
    # each is shorter than the time between samples, and less than half of them hold one
    windows = [(1.002 * t + 0.001, 1.002 * t + 0.041) for t in range(50)]
    found = grouped({"a": sampled("a", lambda t: 10.0 + t)}, windows)
    assert 10 < found.samples < 25
    assert found.coverage == pytest.approx(1.0)
    assert found.mean_w == pytest.approx(10 + 24.55, rel=0.01)


def test_each_board_has_its_own_interval() -> None:
    samples = both(sampled("a", lambda _: 1.0), sampled("b", lambda _: 1.0, every_s=0.5))
    assert grouped(samples, WINDOWS).energy_j == pytest.approx(4.0)


def test_nothing_to_integrate_says_so() -> None:
    samples = {"a": sampled("a", lambda _: 1.0)}
    assert grouped(samples, []).missing == "no request was answered"
    assert grouped(samples, [(5.0, 5.0), (9.0, 8.0)]).missing == "no request was answered"
    assert grouped({}, WINDOWS).missing == "no board sent power samples"
    assert grouped({"a": samples["a"][:1]}, WINDOWS).energy_j is None


def test_requests_between_two_samples_have_no_energy() -> None:
    samples = {"a": sampled("a", lambda _: 10.0)}
    between = [(t + 0.02, t + 0.03) for t in range(5)]
    found = grouped(samples, between)
    assert found.energy_j is None
    assert "no power sample lies within" in (found.missing or "")
    # negative control: one of them around a sample is enough to say something unreliable
    found = grouped(samples, [*between, (7.95, 8.05)])
    assert found.energy_j is not None
    assert not found.reliable
