"""The power mode of a Jetson by name, and whether jetson_clocks has pinned its clocks.

Formats: NVIDIA Jetson Linux Developer Guide, "nvpmodel"; kernel documentation, "CPUFreq".
"""

from __future__ import annotations

import re

from prism_edge.deploy.facts import PowerMode
from prism_edge.profile.board_state import said_mode

CONFIGURATION = "cat /etc/nvpmodel.conf"
STATUS = "cat /var/lib/nvpmodel/status"
QUERY = "nvpmodel -q 2>&1; :"  # it fails, and complains, without its answer being wrong
# A line per processor: what, lowest and highest clock that it may take now.
CLOCKS = """\
for d in /sys/devices/system/cpu/cpufreq/policy*; do
    echo "cpu $(cat "$d/scaling_min_freq") $(cat "$d/scaling_max_freq")"
done
for d in /sys/class/devfreq/*gpu* /sys/class/devfreq/*gv11b* /sys/class/devfreq/*ga10b*; do
    [ -r "$d/min_freq" ] && echo "gpu $(cat "$d/min_freq") $(cat "$d/max_freq")"
done
:"""


def mode(configuration: str, status: str, query: str, clocks: str) -> PowerMode:
    """All None where there is no nvpmodel."""
    lines = [line for line in configuration.splitlines() if not line.lstrip().startswith("#")]
    settings = "\n".join(lines)
    offered = {
        int(number): name
        for number, name in re.findall(
            r"<\s*POWER_MODEL\s+ID=(\d{1,4})\s+NAME=([^\s>]+)\s*>", settings, re.ASCII
        )
    }
    default = re.search(r"<\s*PM_CONFIG\s+DEFAULT=(\d{1,4})\s*>", settings, re.ASCII)
    now = re.search(r"\bpmode:(\d{1,4})\b", status, re.ASCII)
    return PowerMode(
        current=(offered.get(int(now[1])) if now else None) or said_mode(query),
        default=offered.get(int(default[1])) if default else None,
        offered=offered,
        clocks_locked=locked(clocks) if offered else None,
    )


def locked(clocks: str) -> bool | None:
    """Whether every processor has one clock only; None when one of them does not say."""
    rows = [line.split() for line in clocks.splitlines()]
    if not any(row[:1] == ["cpu"] for row in rows):
        return None
    if not all(len(row) == 3 and row[1].isdecimal() and row[2].isdecimal() for row in rows):
        return None
    return all(low == high for _, low, high in rows)
