"""The total is the right rail or the declared sum; components are never added to it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from prism_edge.energy.rails import MODULES, declared, total_of, unknown_total
from prism_edge.energy.tegrastats import parse


def total_power_w(rails_mw: Mapping[str, int]) -> tuple[float | None, str]:
    """The total in watts and its rule, or None and why."""
    total = total_of(rails_mw)
    if total is None:
        return None, unknown_total(rails_mw)
    return total.power_w(rails_mw), total.rule


DATA = Path(__file__).parents[1] / "data" / "tegrastats"

TOTALS = {
    "agx-orin-32gb-jp5-nonroot-no-power": (None, "no power rails"),
    "agx-orin-32gb-jp5.0-offzones": (10.135, "sum of rails"),
    "agx-orin-64gb-jp6-nonroot": (10.37, "sum of rails"),
    "agx-orin-64gb-jp6.2.1-root": (8.726, "sum of rails"),
    "agx-orin-64gb-jp7.2-root-offcores": (9.63, "sum of rails"),
    "agx-xavier-32gb-jp4-sudo-offcores": (3.346, "sum of rails"),
    "constructed-negatives": (1.828, "POM_5V_IN"),
    "nano-4gb-jp4.x-sudo": (1.022, "POM_5V_IN"),
    "orin-nano-4gb-jp6-sudo-truncated": (4.428, "VDD_IN"),
    "orin-nano-8gb-jp6-nonroot": (4.761, "VDD_IN"),
    "orin-nano-8gb-jp6-nonroot-lost-unit": (3.913, "VDD_IN"),
    "orin-nano-super-jp6.2-sudo": (5.251, "VDD_IN"),
    "orin-nx-16gb-jp5.1.1-root": (5.299, "VDD_IN"),
    "thor-jp7-nonroot": (16.802, "VIN"),
    "thor-jp7.1-root-gpu-gated": (8.291, "sum of rails"),
    "thor-jp7.2-root-double-temp": (20.402, "sum of rails"),
    "thor-jp7.2-wendyos-triple-power": (87.426, "VIN"),
    "tx1-jp4-sudo": (2.532, "VDD_IN"),
    "tx2-jp4-sudo-mts": (5.297, "VDD_IN"),
    "xavier-nx-jp4-sudo": (4.067, "VDD_IN"),
}


@pytest.mark.parametrize("name", TOTALS)
def test_total_of_recorded_boards(name: str) -> None:
    reading = parse((DATA / f"{name}.txt").read_text().splitlines()[0])
    assert reading is not None
    power_w, rule = total_power_w(reading.rails_mw)
    expected_w, expected_rule = TOTALS[name]
    assert power_w == (None if expected_w is None else pytest.approx(expected_w))
    assert rule.startswith(expected_rule)


def test_every_recorded_board_with_rails_has_a_total() -> None:
    for path in DATA.glob("*.txt"):
        for line in path.read_text().splitlines():
            reading = parse(line)
            assert reading is not None
            power_w, _ = total_power_w(reading.rails_mw)
            assert (power_w is None) == (reading.rails_mw == {}), path.name


def test_components_are_not_added() -> None:
    rails_mw = {"VDD_IN": 5000, "VDD_CPU_GPU_CV": 2000, "VDD_SOC": 1000}
    assert total_power_w(rails_mw) == (5.0, "VDD_IN")
    assert total_power_w({**rails_mw, "VDD_SOC": 9000}) == (5.0, "VDD_IN")
    assert total_power_w({**rails_mw, "VDD_IN": 6000}) == (6.0, "VDD_IN")  # and it can change


def test_no_rails_says_what_to_do() -> None:
    assert total_power_w({}) == (None, "no power rails: run as root or grant read access")


@pytest.mark.parametrize(
    "rails_mw",
    [
        {"VDD_CPU_GPU_CV": 2000, "VDD_SOC": 1000},  # Orin Nano whose total is missing
        {"VDD_GPU_SOC": 1, "VDD_CPU_CV": 2},  # AGX Orin with a rail missing
        {"VDD_GPU": 1, "VDD_CPU_SOC_MSS": 2, "VIN_SYS_5V0": 3, "NEW": 4},
        {"SOMETHING": 1},
    ],
)
def test_a_partial_or_unknown_set_has_no_total(rails_mw: dict[str, int]) -> None:
    power_w, reason = total_power_w(rails_mw)
    assert power_w is None
    assert all(name in reason for name in rails_mw)


def test_negative_readings_stay_in_the_sum() -> None:
    rails_mw = {"VDD_GPU": -118, "VDD_CPU_SOC_MSS": 5535, "VIN_SYS_5V0": 5040}
    power_w, rule = total_power_w(rails_mw)
    assert (power_w, rule) == (pytest.approx(10.457), "sum of rails")  # type: ignore[comparison-overlap]


def test_a_declared_total_is_the_sum_of_the_rails_it_names() -> None:
    total = total_of({"NEW_A": 1, "NEW_B": 2, "NEW_C": 4}, declared(" NEW_A+NEW_C "))
    assert total is not None
    assert total.rule == "declared: NEW_A + NEW_C"
    assert total.power_w({"NEW_A": 1000, "NEW_B": 2000, "NEW_C": 4000}) == 5.0
    assert declared("") == ()


def test_a_rail_that_is_missing_now_leaves_the_total_unknown() -> None:
    """Never a smaller sum, and never another rule."""
    thor = {"VDD_GPU": 1, "VDD_CPU_SOC_MSS": 2, "VIN_SYS_5V0": 3, "VIN": 9}
    total = total_of(thor)
    assert total is not None
    assert total.power_w(thor) == 0.009
    assert total.power_w({name: mw for name, mw in thor.items() if name != "VIN"}) is None


def test_every_module_of_the_table_is_recognised_by_its_rails() -> None:
    for module in MODULES:
        total = total_of(module.rails)
        assert (total is None) == (module.total == ()), module.name
        assert total is None or (total.rails, total.rule) == (module.total, module.rule)
