"""A board's state is what its files say; what it does not have is None or empty, never 0."""

from __future__ import annotations

from pathlib import Path

import pytest

from prism_edge.profile.board_state import (
    BoardState,
    available_mb,
    cpu_ticks,
    power_mode,
    read_state,
    said_mode,
    temperatures,
    throttled,
)
from prism_edge.profile.watch import AGAIN_S, Asking, from_line, to_line

NVPMODEL_CONF = """\
# FOR EXAMPLE, /etc/nvpmodel/nvpmodel_p3767_0003_super.conf
< PARAM TYPE=FILE NAME=CPU_ONLINE >
< POWER_MODEL ID=0 NAME=15W >
CPU_ONLINE CORE_0 1
< POWER_MODEL ID=1 NAME=25W >
< POWER_MODEL ID=2 NAME=MAXN_SUPER >
< PM_CONFIG DEFAULT=1 >
"""


def board(root: Path, **more: str) -> Path:
    """Files as JetPack 6 has them on an Orin Nano."""
    files = {
        "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
        "sys/class/thermal/thermal_zone0/temp": "51281\n",
        "sys/class/thermal/thermal_zone8/type": "tj-thermal\n",
        "sys/class/thermal/thermal_zone8/temp": "52437\n",
        "sys/class/thermal/thermal_zone2/type": "cv0-thermal\n",  # off: reading it fails
        "sys/class/thermal/thermal_zone3/type": "cv1-thermal\n",
        "sys/class/thermal/thermal_zone3/temp": "-256000\n",
        "sys/class/thermal/cooling_device0/type": "pwm-fan\n",
        "sys/class/thermal/cooling_device0/cur_state": "2\n",
        "sys/class/thermal/cooling_device1/type": "cpufreq-cpu0\n",
        "sys/class/thermal/cooling_device1/cur_state": "0\n",
        "sys/devices/system/cpu/cpufreq/policy0/scaling_max_freq": "1497600\n",
        "sys/devices/system/cpu/cpufreq/policy4/scaling_max_freq": "1497600\n",
        "sys/class/devfreq/17000000.gpu/max_freq": "612000000\n",
        "var/lib/nvpmodel/status": "pmode:0000 fmode:quiet\n",
        "etc/nvpmodel.conf": NVPMODEL_CONF,
        "proc/loadavg": "1.43 0.90 0.51 3/412 12345\n",
        "proc/meminfo": "MemTotal:  7802332 kB\nMemAvailable:  5242880 kB\n",
        "proc/stat": "cpu  10 20 30 40 50 60 70 80 0 0\ncpu0 1 2 3 4 5 6 7 8 0 0\n",
    }
    for name, text in {**files, **more}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_a_jetson_is_read_from_its_files(tmp_path: Path) -> None:
    state = read_state(board(tmp_path))
    assert state == BoardState(
        temps_c={"cpu-thermal": 51.281, "tj-thermal": 52.437},
        throttled=(),
        limits_khz={"policy0": 1497600, "policy4": 1497600, "17000000.gpu": 612000},
        power_mode="15W",
        load_1m=1.43,
        available_mb=5120,
        ticks=(10, 20, 30, 40, 50, 60, 70, 80, 0, 0),
    )
    assert from_line(to_line(state)) == state


def test_a_machine_without_any_of_it_has_none(tmp_path: Path) -> None:
    state = read_state(tmp_path)
    assert state == BoardState()
    assert from_line(to_line(state)) == state


def test_zones_that_are_off_or_placeholders_are_absent() -> None:
    zones = [
        ("GPU-therm", "-256000"),
        ("PMIC-Die", "100000"),
        ("CPU-therm", "-3500"),  # a climate chamber
        ("AO-therm", ""),
        ("tdiode", "nonsense"),
        ("soc", "40000"),
        ("soc", "41000"),
    ]
    assert temperatures(zones) == {"CPU-therm": -3.5, "soc": 41.0}


def test_only_coolers_of_processors_throttle() -> None:
    coolers = [
        ("pwm-fan", "3"),
        ("cpufreq-cpu0", "2"),
        ("devfreq-17000000.gpu", "0"),
        ("Processor", "1"),
        ("intel_powerclamp", "-1"),
        ("cpu-balanced", ""),
    ]
    assert throttled(coolers) == ("cpufreq-cpu0", "Processor")


@pytest.mark.parametrize(
    ("status", "configuration", "expected"),
    [
        ("pmode:0002 fmode:fanNull", NVPMODEL_CONF, "MAXN_SUPER"),
        ("pmode:0001", NVPMODEL_CONF, "25W"),
        ("pmode:0007", NVPMODEL_CONF, "mode 7"),
        ("pmode:0001", "", "mode 1"),
        ("", NVPMODEL_CONF, None),
        ("garbage", "garbage", None),
    ],
)
def test_power_modes_have_the_names_of_their_board(
    status: str, configuration: str, expected: str | None
) -> None:
    assert power_mode(status, configuration) == expected


def test_a_mode_is_asked_again_after_a_failure_but_not_at_once() -> None:
    clock, answers = [0.0], ["15W", None, "25W", "25W"]
    asking = Asking(lambda: answers.pop(0), lambda: clock[0])
    assert asking.mode() == "15W"
    assert asking.mode() is None
    clock[0] += AGAIN_S - 1
    assert asking.mode() is None
    assert len(answers) == 2  # it was not asked
    clock[0] += 1
    assert [asking.mode(), asking.mode()] == ["25W", "25W"]


def test_what_nvpmodel_says_is_found_behind_its_warnings() -> None:
    assert said_mode("NVPM WARN: fan mode is not set!\nNV Power Mode: MODE_15W\n0\n") == "MODE_15W"
    assert said_mode("NVPM ERROR: Error opening /var/lib/nvpmodel/status: 13\n") is None


def test_memory_and_ticks_that_cannot_be_read_are_missing() -> None:
    assert available_mb("MemTotal: 1 kB\n") is None
    assert cpu_ticks("") == ()


@pytest.mark.parametrize("line", ["", "Killed", "[1, 2]", '{"temps": 1}', "{}"])
def test_another_line_is_no_state(line: str) -> None:
    assert from_line(line) is None
