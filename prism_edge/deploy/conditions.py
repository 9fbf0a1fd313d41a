"""What a measurement of power depends on, as a header beside it; what is not known is left out."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping

from prism_edge.deploy.assemble import LOGIN
from prism_edge.deploy.probes import identity, interfaces, power
from prism_edge.deploy.probes.script import SILENCE, Answer, answers, script
from prism_edge.deploy.runner import Runner

_LIMIT_S = 5.0  # of one probe
_FAN = "nvfancontrol"
_QUERY = "nvpmodel-query"
_BOARD = ("model", "compatible", "tegra-release", "l4t-package", "kernel", "system", "nvpmodel")
_NOW = ("nvpmodel-status", "clocks", "links", "addresses", "wifi")
COMMANDS = {name: LOGIN[name] for name in (*_BOARD, *_NOW)} | {
    _QUERY: power.QUERY,
    "tunnels": interfaces.TUNNELS,
    _FAN: "cat /etc/nvfancontrol.conf",
    "governor": "cat /sys/devices/system/cpu/cpu0/cpufreq/scaling_governor",
}


def conditions(runner: Runner) -> dict[str, str]:
    """The board's own words, read now: the power mode is what runs, not what was asked for."""
    token = secrets.token_hex(16)
    done = runner.run(script(COMMANDS, token, _LIMIT_S), timeout_s=60.0)
    found = answers(done.out, token)
    return header({name: found.get(name, SILENCE) for name in COMMANDS})


def header(said: Mapping[str, Answer]) -> dict[str, str]:
    """The header out of the answers to ``COMMANDS``."""
    release = identity.l4t(said["tegra-release"].text, said["l4t-package"].text)
    kernel = identity.kernel(said["kernel"].text)
    mode = power.mode(
        said["nvpmodel"].text,
        said["nvpmodel-status"].text,
        said[_QUERY].text,
        said["clocks"].text,
    )
    links = interfaces.interfaces(
        said["links"].text, said["addresses"].text, said["wifi"].text, said["tunnels"].text
    )
    meshes = [link.name for link in links if link.kind == "wireguard" and link.up]
    saving = {link.name: link.power_save for link in links if link.power_save is not None}
    fan = re.search(r"^\s*FAN_DEFAULT_PROFILE\s+(\S+)", said[_FAN].text, re.MULTILINE)
    known = {
        "model": next(iter(identity.words(said["model"].text)), None),
        "module": " ".join(identity.words(said["compatible"].text)),
        "l4t": release,
        "jetpack": identity.JETPACK.get(release or ""),
        "kernel": kernel and f"{kernel[1]} {kernel[0]}",
        "system": identity.system(said["system"].text),
        "power_mode": mode.current,
        "clocks_locked": None if mode.clocks_locked is None else str(mode.clocks_locked).lower(),
        "governor": said["governor"].text.strip(),
        "fan_profile": fan and fan[1],
        "wifi_power_save": ", ".join(
            f"{name} {'on' if on else 'off'}" for name, on in saving.items()
        ),
        "wireguard": ", ".join(meshes),
    }
    return {name: text for name, text in known.items() if text}
