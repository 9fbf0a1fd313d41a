"""What a Jetson has and this machine has not, laid over it for one command: files and programs.

A mount namespace of its own ends with the command. The programs print what the real ones do.
"""

from __future__ import annotations

import shlex
from pathlib import Path

MODES = "< POWER_MODEL ID=0 NAME=15W >\n< POWER_MODEL ID=1 NAME=25W >\n< PM_CONFIG DEFAULT=1 >\n"
# path on the board: content. Directories of the kernel are laid over whole.
FILES = {
    "sys/firmware/devicetree/base/model": "NVIDIA Jetson Orin Nano Developer Kit Super\0",
    "sys/firmware/devicetree/base/compatible": "nvidia,p3767-0005\0nvidia,tegra234\0",
    "sys/devices/system/cpu/cpufreq/policy0/scaling_min_freq": "1728000\n",
    "sys/devices/system/cpu/cpufreq/policy0/scaling_max_freq": "1728000\n",
    "sys/devices/system/cpu/cpufreq/policy4/scaling_min_freq": "1728000\n",
    "sys/devices/system/cpu/cpufreq/policy4/scaling_max_freq": "1728000\n",
    "sys/block/mmcblk1/device/type": "SD\n",
    "sys/class/net/lo/type": "772\n",
    "sys/class/net/wlP1p1s0/wireless/beacon": "0\n",
    "sys/class/net/wlP1p1s0/type": "1\n",
    "etc/nv_tegra_release": "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic\n",
    "etc/nvpmodel.conf": MODES,
    "var/lib/nvpmodel/old": "",
    "proc/swaps": (
        "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
        "/dev/zram0                              partition\t635252\t\t0\t\t5\n"
        "/dev/mmcblk1p2                          partition\t4194300\t\t0\t\t-2\n"
    ),
}
OVER = ("sys/firmware", "sys/devices/system/cpu", "sys/block", "sys/class/net")
UNDER = ("etc", "var/lib")
LINKS = (
    r"""2: wlP1p1s0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 state UP \    link/ether 02:00"""
)
PROGRAMS = {
    "ip": f"case $* in *link*) echo {shlex.quote(LINKS)} ;; esac",
    "iw": 'echo "Power save: on"',
    "modprobe": '[ "$*" = "-n -q wireguard" ]',
    "wg": "",
    "wg-quick": "",
    "nvpmodel": "echo 'NVPM ERROR: no rights' >&2; echo 'NV Power Mode: 15W'; echo 0; exit 1",
    "chronyc": "echo 'Leap status     : Normal'",
    "systemctl": """case $* in
        is-active*) for s; do [ $s = chrony ] && echo active || echo inactive; done | tail -n +2 ;;
        *ExecStart*) echo "{ path=$(dirname $0)/jtop ; argv[]=jtop ; ignore_errors=no }" ;;
        *jtop*) echo LoadState=loaded; echo ActiveState=active ;;
        *) echo LoadState=not-found; echo ActiveState=inactive ;;
    esac""",
    "python3-of-jtop": "[ $1 = -I ] && echo 4.3.2",
    "nft": "exit 1",
    "iptables": "exit 3",
    "iptables-legacy": "echo '-P INPUT DROP'",
}


def lay(root: Path) -> tuple[str, ...]:
    """The words that put a command into such a tree, made below ``root``."""
    for path, content in FILES.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(content)
    programs = root / "bin"
    programs.mkdir()
    for name, body in PROGRAMS.items():
        (programs / name).write_text(f"#!/bin/sh\n{body}\n")
        (programs / name).chmod(0o755)
    (programs / "jtop").write_text(f"#! {programs}/python3-of-jtop\n")
    mounts = [
        *(f"mount --bind {root}/{path} /{path}" for path in OVER),
        *(f"mount -t overlay none -o lowerdir={root}/{path}:/{path} /{path}" for path in UNDER),
        f"mount --bind {root}/proc/swaps /proc/swaps",
        f"PATH={programs}:$PATH",
        'exec "$@"',
    ]
    return ("unshare", "-m", "sh", "-e", "-c", "\n".join(mounts), "sh")
