"""What board it is and in which power mode: every odd form that has been seen, and nonsense."""

from __future__ import annotations

import pytest

from prism_edge.deploy.probes.identity import kernel, l4t, system, words
from prism_edge.deploy.probes.power import locked, mode

CONFIGURATION = """\
# < POWER_MODEL ID=7 NAME=COMMENT >
< POWER_MODEL ID=0 NAME=15W >
CPU_ONLINE CORE_0 1
< POWER_MODEL ID=1 NAME=MODE_25W >
<POWER_MODEL ID=2 NAME=MAXN_SUPER>
< PM_CONFIG DEFAULT=1 >
"""


def test_texts_of_the_device_tree_end_with_nul() -> None:
    assert words("nvidia,p3767-0005\0nvidia,tegra234\0") == ("nvidia,p3767-0005", "nvidia,tegra234")
    assert words("") == ()
    assert words("Jetson\ufffd\0\x01\0 \0") == ()


@pytest.mark.parametrize(
    ("line", "package", "expected"),
    [
        ("# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic", "", "36.4.3"),
        ("# R36 (release), REVISION: 3.0, GCID: 36106755", "36.4.3-20250107174145", "36.3.0"),
        ("# R32 (release), REVISION: 7.1, GCID: 29818004, BOARD: t210ref", "", "32.7.1"),
        ("", "36.4.7-20250918154033", "36.4.7"),
        ("# R36 (release), REVISION:", "", None),
        ("R36", "36.4", None),
        ("# R36 (release), REVISION: 4.x", "unknown", None),
        ("", "", None),
    ],
)
def test_l4t(line: str, package: str, expected: str | None) -> None:
    assert l4t(line, package) == expected


def test_kernel_and_system() -> None:
    assert kernel("aarch64\n5.15.148-tegra\nedge-1\n") == ("aarch64", "5.15.148-tegra", "edge-1")
    assert kernel("aarch64\n5.15.148-tegra\n") is None
    assert kernel("two words\nx\ny\n") is None
    assert system('NAME="Ubuntu"\nPRETTY_NAME="Ubuntu 22.04.5 LTS"\n') == "Ubuntu 22.04.5 LTS"
    assert system("PRETTY_NAME=Alpine Linux v3.20\n") == "Alpine Linux v3.20"
    assert system("PRETTY_NAME='Some OS'\n") == "Some OS"
    assert system('PRETTY_NAME=""\n') is None
    assert system("NAME=x\n") is None


@pytest.mark.parametrize(
    ("status", "query", "expected"),
    [
        ("pmode:0001", "NV Power Mode: 15W\n0\n", "MODE_25W"),
        ("", "NVPM WARN: fan mode is not set!\nNV Power Mode: MAXN_SUPER\n2\n", "MAXN_SUPER"),
        ("", "NV Fan Mode:quiet\nNV Power Mode: 15W\n0\n", "15W"),
        ("", "NVPM ERROR: failed to read PARAM EMC: ARG MAX_FREQ\n", None),
        ("pmode:0009", "", None),
        ("pmode:", "", None),
        ("", "", None),
    ],
)
def test_the_mode_that_runs(status: str, query: str, expected: str | None) -> None:
    assert mode(CONFIGURATION, status, query, "").current == expected


def test_without_nvpmodel_nothing_is_claimed() -> None:
    found = mode("", "", "", "cpu 1000 1000\n")
    assert (found.current, found.default, found.clocks_locked) == (None, None, None)
    assert found.offered == {}


@pytest.mark.parametrize(
    ("clocks", "expected"),
    [
        ("cpu 1728000 1728000\ncpu 1728000 1728000\ngpu 1020000000 1020000000\n", True),
        ("cpu 1728000 1728000\ngpu 306000000 1020000000\n", False),
        ("cpu 115200 1728000\ncpu 1728000 1728000\n", False),
        ("cpu  \n", None),
        ("cpu 1000 1000\ncpu  \n", None),
        ("gpu 306000000 306000000\n", None),
        ("", None),
    ],
)
def test_clocks_pinned_by_jetson_clocks(clocks: str, expected: bool | None) -> None:
    assert locked(clocks) is expected
