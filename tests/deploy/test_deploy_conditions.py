"""The header of a measurement holds what the board says, and nothing of what it does not."""

from __future__ import annotations

import platform

from prism_edge.deploy.conditions import COMMANDS, conditions, header
from prism_edge.deploy.here import Here
from prism_edge.deploy.probes.script import SILENCE, Answer

ORIN = {
    "model": "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super\0",
    "compatible": "nvidia,p3768-0000+p3767-0005-super\0nvidia,p3767-0005\0nvidia,tegra234\0",
    "tegra-release": "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic\n",
    "kernel": "aarch64\n5.15.148-tegra\nedge-1\n",
    "system": 'PRETTY_NAME="Ubuntu 22.04.5 LTS"\n',
    "nvpmodel": "< POWER_MODEL ID=0 NAME=15W >\n< POWER_MODEL ID=2 NAME=MAXN_SUPER >\n",
    "nvpmodel-status": "pmode:0002 fmode:fanNull\n",
    "clocks": "cpu 1728000 1728000\ngpu 1020000000 1020000000\n",
    "links": (
        "1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536 qdisc noqueue\\    link/loopback\n"
        "2: wlan0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc noqueue\\    link/ether\n"
    ),
    "nvfancontrol": "\tFAN_DEFAULT_CONTROL close_loop\n\tFAN_DEFAULT_PROFILE cool\n",
    "governor": "schedutil\n",
}


def said(texts: dict[str, str]) -> dict[str, Answer]:
    return {
        name: Answer(code=0, out=texts[name]) if name in texts else SILENCE for name in COMMANDS
    }


def test_an_orin_nano_in_a_power_mode_with_clocks_locked() -> None:
    found = header(said(ORIN))
    assert found["model"].startswith("NVIDIA Jetson Orin Nano")
    assert "p3767-0005" in found["module"]
    assert {name: found[name] for name in ("l4t", "jetpack", "kernel", "power_mode")} == {
        "l4t": "36.4.3",
        "jetpack": "6.2",
        "kernel": "5.15.148-tegra aarch64",
        "power_mode": "MAXN_SUPER",
    }
    assert (found["clocks_locked"], found["fan_profile"]) == ("true", "cool")
    assert (found["system"], found["governor"]) == ("Ubuntu 22.04.5 LTS", "schedutil")
    assert "wireguard" not in found


def test_clocks_that_move_are_not_locked() -> None:
    assert header(said({**ORIN, "clocks": "cpu 115200 1728000\n"}))["clocks_locked"] == "false"


def test_what_a_machine_does_not_say_is_left_out() -> None:
    assert header(said({})) == {}
    here = conditions(Here(name="here"))
    assert here["kernel"] == f"{platform.release()} {platform.machine()}"
    assert "" not in here.values()
