"""A test board that looks like a Jetson where it is looked at: device tree, release, power modes.

The device tree is at /sys/firmware/devicetree/base, to which /proc/device-tree is a link on a real
board; procfs takes no entry of ours. The texts are those of a Jetson Orin Nano 8 GB on JetPack 6.2.
"""

from __future__ import annotations

from boards.machine import Board

MODEL = "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super"
COMPATIBLE = ("nvidia,p3768-0000+p3767-0005-super", "nvidia,p3767-0005", "nvidia,tegra234")
RELEASE = "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64\n"
MODES = {0: "15W", 1: "25W", 2: "MAXN_SUPER"}


def become_jetson(
    board: Board, *, model: str = MODEL, release: str = RELEASE, mode: int = 1, default: int = 1
) -> None:
    """The board, which must be off, is one from its next boot on."""
    tree = board.firmware / "devicetree" / "base"
    tree.mkdir(parents=True, exist_ok=True)
    (tree / "model").write_text(f"{model}\0")
    (tree / "compatible").write_text("".join(f"{name}\0" for name in COMPATIBLE))
    modes = "".join(f"< POWER_MODEL ID={number} NAME={name} >\n" for number, name in MODES.items())
    (board.root / "etc/nv_tegra_release").write_text(release)
    (board.root / "etc/nvpmodel.conf").write_text(f"{modes}< PM_CONFIG DEFAULT={default} >\n")
    status = board.root / "var/lib/nvpmodel/status"
    status.parent.mkdir(exist_ok=True)
    status.write_text(f"pmode:{mode:04d} fmode:fanNull\n")
