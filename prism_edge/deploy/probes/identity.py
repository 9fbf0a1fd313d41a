"""Which board it is, and what it runs: device tree, L4T, JetPack, kernel, system."""

from __future__ import annotations

import re

MODEL = "cat /proc/device-tree/model || cat /sys/firmware/devicetree/base/model"
COMPATIBLE = "cat /proc/device-tree/compatible || cat /sys/firmware/devicetree/base/compatible"
TEGRA_RELEASE = "head -n 1 /etc/nv_tegra_release"
L4T_PACKAGE = "dpkg-query -W -f '${Version}' nvidia-l4t-core"
KERNEL = "uname -m; uname -r; uname -n"
SYSTEM = "cat /etc/os-release || cat /usr/lib/os-release"

# NVIDIA's JetPack archive. What is not here is printed as L4T, not guessed.
JETPACK = {
    "35.3.1": "5.1.1",
    "35.4.1": "5.1.2",
    "36.3.0": "6.0",
    "36.4.0": "6.1",
    "36.4.3": "6.2",
    "36.4.4": "6.2.1",
    "36.4.7": "6.2.1",
    "36.5.0": "6.2.2",
    "38.2.0": "7.0",
    "38.4.0": "7.1",
    "39.2.0": "7.2",
}


def words(text: str) -> tuple[str, ...]:
    """The texts of a device-tree property, each ended by NUL; those that are no text are left
    out."""
    found = (word.strip() for word in text.split("\0"))
    return tuple(word for word in found if word and word.isprintable() and "\ufffd" not in word)


def l4t(tegra_release: str, package: str) -> str | None:
    """The release, such as ``36.4.3``, out of /etc/nv_tegra_release, else of nvidia-l4t-core."""
    file = re.match(r"# R(\d+) \(release\), REVISION: (\d+)\.(\d+)\b", tegra_release, re.ASCII)
    found = file or re.match(r"(\d+)\.(\d+)\.(\d+)-", package, re.ASCII)
    return ".".join(found.groups()) if found else None


def kernel(text: str) -> tuple[str, str, str] | None:
    """Architecture, kernel and host name."""
    lines = text.splitlines()
    if len(lines) != 3 or not all(re.fullmatch(r"\S+", line) for line in lines):
        return None
    return lines[0], lines[1], lines[2]


def system(text: str) -> str | None:
    """How the system calls itself, such as ``Ubuntu 22.04.5 LTS``."""
    found = re.search(r"^PRETTY_NAME=(.*)$", text, re.MULTILINE)
    return found[1].strip(" \"'") or None if found else None
