"""The root file system that every test board starts from: made once by debootstrap, then kept.

It lies below $PRISM_EDGE_TEST_BOARDS, or ~/.cache/prism-edge-boards, under the hash of its recipe:
another recipe makes another one. Boards see it through overlays and never change it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SUITE = "bookworm"
MIRROR = "http://deb.debian.org/debian"
PACKAGES = (
    *("systemd", "systemd-sysv", "dbus", "openssh-server", "sudo", "kmod", "procps", "chrony"),
    *("python3", "python3-venv", "python3-apt", "curl", "iproute2", "iputils-ping", "tcpdump"),
    *("iptables", "nftables", "wireguard-tools", "wireguard-go"),
)
USER = "nvidia"
PASSWORD = "Orin-nano 8"  # a blank, because shells split there
# Units that have nothing to do on a test board and would cost its one core, or fail on a pipe.
MASKED = (
    *("console-getty.service", "getty@.service", "systemd-udevd.service", "e2scrub_reap.service"),
    *("apt-daily.timer", "apt-daily-upgrade.timer", "e2scrub_all.timer", "dpkg-db-backup.timer"),
    *("fstrim.timer", "systemd-pstore.service", "systemd-firstboot.service"),
    *("systemd-ask-password-console.path", "systemd-ask-password-wall.path"),
)
SETUP = f"""set -eu
groupadd --system render
useradd --create-home --shell /bin/bash --groups sudo,video,render {USER}
echo '{USER}:{PASSWORD}' | chpasswd
systemctl mask {" ".join(MASKED)}
systemctl enable ssh.service
rm -f /etc/ssh/ssh_host_* /etc/machine-id /var/lib/dbus/machine-id
: > /etc/machine-id
printf 'LANG=C.UTF-8\\n' > /etc/default/locale
rm -rf /var/cache/apt/*.bin /var/lib/apt/lists/*
"""


def cache() -> Path:
    """Where root file systems and running boards are kept."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("PRISM_EDGE_TEST_BOARDS") or Path(home) / "prism-edge-boards")


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Held by one process at a time; gone when that dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def rootfs() -> Path:
    """The finished root; makes it where there is none, which takes a minute and the network."""
    recipe = "\n".join([SUITE, *PACKAGES, SETUP])
    root = cache() / f"root-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"
    with alone(cache() / "root.lock"):
        if not root.exists():
            _make(root)
    return root


def _make(root: Path) -> None:
    draft = root.with_name(f"{root.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    packages = cache() / "packages"
    packages.mkdir(parents=True, exist_ok=True)
    include = f"--include={','.join(PACKAGES)}"
    make = ["debootstrap", "--variant=minbase", f"--cache-dir={packages}", include, SUITE]
    for argv in ([*make, str(draft), MIRROR], ["chroot", str(draft), "sh", "-c", SETUP]):
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        said = (done.stdout + done.stderr)[-2000:]
        assert done.returncode == 0, f"{argv[0]} failed; there is more in {draft}\n{said}"
    draft.rename(root)
    used = Path("/proc/self/mounts").read_text()
    for old in cache().glob("root-*/"):
        if old != root and str(old) not in used:
            shutil.rmtree(old)
