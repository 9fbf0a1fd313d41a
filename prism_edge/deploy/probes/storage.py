"""Disk, memory and swap in bytes, and what kind of swap it is."""

from __future__ import annotations

import re

from prism_edge.deploy import paths
from prism_edge.deploy.facts import Storage

# A line for where releases go, and one for where models go.
DISK = f"""\
for d in {paths.RELEASES} {paths.MODELS}; do
    while [ ! -d "$d" ]; do d=$(dirname "$d"); done
    df -Pk "$d" | tail -n 1
done"""
MEMORY = "cat /proc/meminfo"
# A line per swap: the block device it is on, and whether that is an SD card ("SD") or not.
SWAPS = """\
echo swaps
tail -n +2 /proc/swaps | while read -r device kind rest; do
    [ "$kind" = file ] && device=$(df -P "$device" | tail -n 1 | cut -d " " -f 1)
    block=${device##*/}
    echo "$device $(cat "/sys/block/${block%p[0-9]*}/device/type" 2>/dev/null)"
done
:"""


def storage(disk: str, memory: str, swaps: str) -> Storage:
    """What is known of it; a table that cannot be read leaves its numbers None."""
    sizes = re.findall(
        r"\s(\d{1,15})\s+\d+\s+(\d{1,15})\s+\d+%\s+(/.*)$", disk, re.ASCII | re.MULTILINE
    )
    total, free, mount = sizes[0] if sizes else (None, None, None)
    other = [int(row[1]) * 1024 for row in sizes[1:] if row[2] != mount]
    kilobytes = dict(re.findall(r"^(\w+):\s+(\d{1,15}) kB$", memory, re.MULTILINE | re.ASCII))

    def known(name: str) -> int | None:
        return int(kilobytes[name]) * 1024 if name in kilobytes else None

    return Storage(
        free_bytes=int(free) * 1024 if free else None,
        data_free_bytes=other[0] if other else None,
        total_bytes=int(total) * 1024 if total else None,
        memory_bytes=known("MemTotal"),
        available_bytes=known("MemAvailable"),
        swap_bytes=known("SwapTotal"),
        swap_kind=swap_kind(swaps),
    )


def swap_kind(swaps: str) -> str | None:
    """The worst of them: an SD card, any other disk, compressed memory; None: it is not known."""
    head, *lines = swaps.splitlines() or [""]
    if head != "swaps":
        return None
    if any(line.endswith(" SD") for line in lines):
        return "sd"
    if any(not line.startswith("/dev/zram") for line in lines):
        return "disk"
    return "zram" if lines else "none"
