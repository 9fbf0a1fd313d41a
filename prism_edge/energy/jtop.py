"""The helper process of the jtop source: one JSON line {rails_mw, temps_c} per reading of jtop.

The only file that imports jtop (jetson-stats, AGPL-3.0, extra ``jetson``), and only when run as
``python -m prism_edge.energy.jtop``: importing jtop forces multiprocessing to ``fork``, which must
not happen in a process that uses CUDA, and its client speaks pickle to a root daemon.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Mapping
from typing import Any

INSTALL = 'jtop is not installed: pip install "prism-edge[jetson]", or use tegrastats'
OFF_C = -256
# What jtop says, and what that means here. Of the same class are: no service, no right, no match.
MEANINGS = (
    (
        "not active",
        "its service is down: sudo systemctl restart jtop.service, or without such a "
        "unit sudo jtop --install-service",
    ),
    (
        "can't access",
        "this user is not in the group jtop, which may do what root may: use "
        "tegrastats or sysfs, or sudo usermod -aG jtop USER and log in again",
    ),
    (
        "Mismatch",
        "service and package are of different versions: install the same one for both "
        "and sudo systemctl restart jtop.service",
    ),
)


def main(interval_s: float) -> int:
    """Prints readings until the reader goes away; 1 and the reason as last line when jtop fails."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # the reader is gone: end without a word
    try:
        from jtop import jtop

        with jtop(interval=interval_s) as board:
            while board.ok():
                line = {"rails_mw": rails_mw(board.power), "temps_c": temps_c(board.temperature)}
                print(json.dumps(line), flush=True)
    except ImportError:
        print(INSTALL, flush=True)
        return 1
    except Exception as error:  # jtop lets EOFError, BrokenPipeError and its own errors out
        print(f"jtop failed: {meaning(error)}", flush=True)
        return 1
    print("jtop failed: its service sends no data; restart jtop.service", flush=True)
    return 1


def meaning(error: Exception) -> str:
    """One line, as the reader shows the last one: what is wrong, what to do, jtop's own words."""
    said = f"{type(error).__name__}: {' '.join(str(error).split())}"
    known = (means for words, means in MEANINGS if words in str(error))
    return next((f"{means} ({said})" for means in known), said)


def rails_mw(power: Mapping[str, Any]) -> dict[str, float]:
    """The rails by name. jtop takes the total rail out of them, and sums where there is none."""
    total = power.get("tot", {})
    named = {total["name"]: total} if "name" in total else {}
    return {
        name: rail["power"]
        for name, rail in {**power.get("rail", {}), **named}.items()
        if "power" in rail
    }


def temps_c(temperature: Mapping[str, Any]) -> dict[str, float]:
    """The zones by name, without those that are off."""
    zones = {name: zone.get("temp") for name, zone in temperature.items()}
    return {name: degrees for name, degrees in zones.items() if degrees not in (None, OFF_C)}


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1])))
