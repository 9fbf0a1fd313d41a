"""What on the board could carry a mesh, and why not something better."""

from __future__ import annotations

from typing import Literal

# A word per thing that is there. Nothing is loaded: modprobe only says whether it would.
COMMAND = """\
{ [ -d /sys/module/wireguard ] || modprobe -n -q wireguard; } && echo module
[ -c /dev/net/tun ] && echo tun
for p in wireguard-go wg wg-quick; do command -v "$p" >/dev/null && echo "$p"; done
echo end"""


def wireguard(text: str) -> tuple[Literal["kernel", "userspace", "none"] | None, str]:
    """The best there is, and why it is not the kernel's."""
    there = set(text.split())
    if "end" not in there:
        return None, ""
    if not {"wg", "wg-quick"} <= there:
        return "none", "there is no program wg or wg-quick; install wireguard-tools"
    if "module" in there:
        return "kernel", ""
    if "wireguard-go" not in there:
        return "none", "the kernel has no module wireguard, and there is no program wireguard-go"
    if "tun" not in there:
        return "none", "the kernel has no module wireguard, and wireguard-go lacks /dev/net/tun"
    return "userspace", "the kernel has no module wireguard"
