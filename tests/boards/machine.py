"""One test board: a systemd of its own in systemd-nspawn, on one core, with one Ethernet cable."""

from __future__ import annotations

import os
import shlex
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from boards import cgroups
from prism_edge.cluster.shaping import Link, plug, shape
from prism_edge.settings import BoardSettings

BOOT_S = 120.0
MEMORY_BYTES = 4 << 30  # what a board has
_POLL_S = 0.05


def do(*argv: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """The finished command, which must work unless ``check`` is False."""
    done = subprocess.run(
        argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120
    )
    assert not check or done.returncode == 0, f"{shlex.join(argv)}: {done.stderr}{done.stdout}"
    return done


@dataclass(frozen=True, kw_only=True)
class Board:
    """``number`` n of the subnet 10.88.``subnet``: edge-n at .n. What it is lies in ``directory``:
    ``root`` is its file system as it sees it, also while it is off.
    """

    subnet: int
    number: int
    directory: Path

    @property
    def name(self) -> str:
        return f"edge-{self.number}"

    @property
    def address(self) -> str:
        return f"10.88.{self.subnet}.{self.number}"

    @property
    def root(self) -> Path:
        return self.directory / "root"

    @property
    def firmware(self) -> Path:
        """What it boots with as its /sys/firmware, if that exists."""
        return self.directory / "firmware"

    @property
    def key(self) -> Path:
        """What logs in, as root and as the user."""
        return self.directory.parent / "key"

    @property
    def tag(self) -> str:
        """What its namespace and cgroups are called on this machine."""
        return f"peb{self.subnet}-{self.number}"

    @property
    def cable(self) -> str:
        """The end of its cable at the switch."""
        return f"peb{self.subnet}v{self.number}"

    def settings(self, user: str = "root") -> BoardSettings:
        """How deploy reaches it; its host key is known."""
        return BoardSettings(
            name=self.name,
            address=self.address,
            power="none",
            ssh=f"{user}@{self.address}",
            ssh_config=self.directory.parent / "ssh_config",
        )

    @property
    def cgroups(self) -> list[Path]:
        """What it runs in; none before it was first on."""
        return cgroups.find(self.tag)

    @property
    def core(self) -> int:
        cores = sorted(os.sched_getaffinity(0))
        return cores[(self.number - 1) % len(cores)]

    def power_on(self) -> None:
        """It boots. See ``booted``."""
        places = cgroups.make(self.tag, MEMORY_BYTES)
        groups = [str(place / "cgroup.procs") for place in places]
        # it enters them before it forks, so that power_off misses nobody
        enter = 'while [ "$1" != -- ]; do echo $$ > "$1"; shift; done; shift; exec "$@"'
        argv = [
            *("sh", "-c", enter, "sh", *groups, "--"),
            *("setsid", "--fork", "taskset", "--cpu-list", str(self.core)),
            *("systemd-nspawn", "--quiet", "--boot", "--register=no", "--keep-unit"),
            *(f"--directory={self.root}", f"--machine={self.name}", "--console=pipe"),
            f"--network-namespace-path=/run/netns/{self.tag}",
            *("--bind=/dev/net/tun", "--capability=CAP_NET_ADMIN"),
        ]
        if self.firmware.exists():
            argv.append(f"--bind-ro={self.firmware}:/sys/firmware")
        with (self.directory / "console.log").open("ab") as log:
            subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=True)

    def booted(self) -> None:
        """It runs, and nothing of it has failed."""
        until_s = time.monotonic() + BOOT_S
        while (state := self.state()) not in ("running", "degraded"):
            assert time.monotonic() < until_s, f"{self.name}: see {self.directory}/console.log"
            time.sleep(_POLL_S)
        failed = self.sh("systemctl list-units --failed --no-legend --plain")
        assert state == "running", f"{self.name} is {state}: {failed}"

    def state(self) -> str:
        """What systemd says of the whole board; ``off`` while there is none."""
        if self.init() is None:
            return "off"
        return self.sh("systemctl is-system-running --wait", check=False).strip()

    def power_off(self) -> None:
        """A power cut: everything on it is killed at once. What it had written stays."""
        cgroups.kill(self.cgroups)

    def cut(self) -> None:
        """Its cable is pulled: nothing arrives, nobody is told."""
        do(*plug(self.cable, Link(rate_bps=1e9, up=False)))

    def mend(self) -> None:
        """Its cable is plugged in again."""
        do(*plug(self.cable, Link(rate_bps=1e9, up=True)))

    def set_rate(self, rate_bps: float) -> None:
        """Its cable carries that much, each way."""
        link = Link(rate_bps=rate_bps)
        do(*shape(self.cable, link))
        do("ip", "netns", "exec", self.tag, *shape("eth0", link))

    def sh(self, command: str, *, user: str = "root", check: bool = True) -> str:
        """What the command prints there. It is not sent through the board's network."""
        init = self.init()
        assert init is not None, f"{self.name} is off"
        enter = ("nsenter", f"--target={init}", "--all", "--root", "--wd")
        clean = ("env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin", "LANG=C")
        login = () if user == "root" else ("runuser", "-u", user, "--")
        pinned = ("taskset", "--cpu-list", str(self.core))
        return do(*pinned, *enter, *clean, *login, "sh", "-c", command, check=check).stdout

    def init(self) -> int | None:
        """The process that is its number 1; None while it is off."""
        return next(
            (pid for pid in cgroups.members(self.cgroups) if _number_in(pid) == ["1"]), None
        )

    def files(self, path: str) -> int:
        """How many files lie there, at any depth."""
        return int(self.sh(f"find {shlex.quote(path)} -xdev -type f 2>/dev/null | wc -l"))


def _number_in(pid: int) -> list[str]:
    """The process's numbers in the namespaces below this one."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return []
    return next(line.split()[2:] for line in status.splitlines() if line.startswith("NSpid:"))
