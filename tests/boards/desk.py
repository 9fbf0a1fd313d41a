"""Boards on one switch, with this machine as the laptop: 10.88.N.0/24, the laptop at .254.

There is no route out of it. A desk belongs to the process that made it, and is cleared at the next
``up`` of anybody when that process has died; one made for nobody stays until ``down``.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from boards import cgroups
from boards.machine import Board, do
from boards.rootfs import USER, alone, cache, rootfs
from prism_edge.cluster.processes import boot_id, stat

FIRST, LAST = 100, 249  # subnets to choose from
MOST = 8  # boards
WATCHES = Path("/proc/sys/fs/inotify/max_user_instances")  # every systemd takes some of root's
SSH = """
IdentityFile {desk}/key
IdentitiesOnly yes
UserKnownHostsFile {desk}/known_hosts
GlobalKnownHostsFile none
"""


@dataclass(frozen=True, kw_only=True)
class Desk:
    """``boards`` in order, edge-1 first; ``directory`` also holds key, known_hosts, ssh_config."""

    directory: Path
    boards: tuple[Board, ...]

    @property
    def subnet(self) -> int:
        return int(self.directory.name)


def desks() -> Path:
    """Every desk there is has a directory here, called by its subnet."""
    return cache() / "desks"


@contextlib.contextmanager
def desk(count: int, rate_bps: float) -> Iterator[Desk]:
    """That many booted boards, for as long as this lasts."""
    found = up(count, rate_bps, owner=os.getpid())
    try:
        yield found
    finally:
        down(found.subnet)


def up(
    count: int,
    rate_bps: float,
    *,
    subnet: int | None = None,
    owner: int | None = None,
) -> Desk:
    """The boards, booted. ``owner``: the process they belong to."""
    assert 1 <= count <= MOST, f"{count} boards: 1 to {MOST} fit on a desk"
    root = rootfs()
    _more_watches()
    with _claiming():
        _clear_dead()
        directory = _claim(subnet, owner)
    found = Desk(
        directory=directory,
        boards=tuple(
            Board(
                subnet=int(directory.name),
                number=number,
                directory=directory / f"edge-{number}",
            )
            for number in range(1, count + 1)
        ),
    )
    try:
        _wire(found, rate_bps)
        _furnish(found, root)
        for board in found.boards:
            board.power_on()
        for board in found.boards:
            board.booted()
    except BaseException:
        down(found.subnet)
        raise
    return found


def down(subnet: int) -> None:
    """Nothing of the desk is left: no process, mount, namespace, interface, cgroup or file."""
    with _claiming():
        _clear(subnet)


def switch(subnet: int) -> str:
    return f"peb{subnet}"


def _more_watches() -> None:
    if int(WATCHES.read_text()) < 1024:
        WATCHES.write_text("1024\n")


def _claiming() -> AbstractContextManager[None]:
    """Nobody else makes or clears a desk meanwhile, this one's subnet taken by another included."""
    return alone(cache() / "desks.lock")


def _clear(subnet: int) -> None:
    """By what is there, whatever the desk's directory says: its start may have failed half way."""
    directory = desks() / str(subnet)
    groups = cgroups.find(f"{switch(subnet)}-*")
    cgroups.kill(groups)
    cgroups.remove(groups)
    for line in Path("/proc/self/mounts").read_text().splitlines():
        if line.split()[1].startswith(f"{directory}/"):
            do("umount", "--lazy", line.split()[1])
    for link in Path("/sys/class/net").glob(f"{switch(subnet)}v*"):
        do("ip", "link", "delete", link.name, check=False)
    for space in Path("/run/netns").glob(f"{switch(subnet)}-*"):
        do("ip", "netns", "delete", space.name, check=False)
    do("ip", "link", "delete", switch(subnet), check=False)
    shutil.rmtree(directory, ignore_errors=True)


def _clear_dead() -> None:
    """Desks whose process has died, or from before this machine's last boot, are gone."""
    for directory in list(desks().glob("*")):
        if not _alive(directory):
            _clear(int(directory.name))


def _alive(directory: Path) -> bool:
    try:
        owner = json.loads((directory / "owner.json").read_text())
    except (OSError, ValueError):
        return False
    if owner["boot"] != boot_id():
        return False
    now = stat(owner["pid"]) if owner["pid"] else None
    return owner["pid"] is None or (now is not None and now.start_ticks == owner["ticks"])


def _claim(subnet: int | None, owner: int | None) -> Path:
    """The directory of a subnet that nobody uses on this machine."""
    used = do("ip", "-4", "-o", "addr").stdout
    wanted = range(FIRST, LAST + 1) if subnet is None else [subnet]
    free = [n for n in wanted if f" 10.88.{n}." not in used and not (desks() / str(n)).exists()]
    assert free, f"10.88.{subnet or 'N'}.0/24 is in use; python -m boards down {subnet or 'N'}"
    directory = desks() / str(free[0])
    directory.mkdir(parents=True)
    now = stat(owner) if owner else None
    record = {"pid": owner, "ticks": now.start_ticks if now else 0, "boot": boot_id()}
    (directory / "owner.json").write_text(json.dumps(record))
    return directory


def _wire(found: Desk, rate_bps: float) -> None:
    bridge = switch(found.subnet)
    do("ip", "link", "add", bridge, "address", "02:88:00:00:00:fe", "type", "bridge")
    do("ip", "addr", "add", f"10.88.{found.subnet}.254/24", "dev", bridge)
    do("ip", "link", "set", bridge, "up")
    for board in found.boards:
        inside = ("ip", "-n", board.tag)
        do("ip", "netns", "add", board.tag)
        do(
            *("ip", "link", "add", board.cable, "type", "veth"),
            *("peer", "eth0", "netns", board.tag),
        )
        do("ip", "link", "set", board.cable, "master", bridge, "up")
        do(*inside, "addr", "add", f"{board.address}/24", "dev", "eth0")
        do(*inside, "link", "set", "eth0", "up")
        do(*inside, "link", "set", "lo", "up")
        board.set_rate(rate_bps)


def _furnish(found: Desk, root: Path) -> None:
    """File systems, names and keys. Each board has a host key of its own."""
    desk = found.directory
    do("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "boards", "-f", str(desk / "key"))
    (desk / "ssh_config").write_text(SSH.format(desk=desk))
    names = "".join(f"{board.address} {board.name}\n" for board in found.boards)
    known = ""
    for board in found.boards:
        for name in ("up", "work", "root"):
            (board.directory / name).mkdir(parents=True)
        layers = f"lowerdir={root},upperdir={board.directory}/up,workdir={board.directory}/work"
        do("mount", "-t", "overlay", "overlay", "-o", layers, str(board.root))
        etc = board.root / "etc"
        (etc / "hostname").write_text(f"{board.name}\n")
        (etc / "hosts").write_text(f"127.0.0.1 localhost\n{names}")
        host_key = etc / "ssh" / "ssh_host_ed25519_key"
        do("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(host_key))
        known += f"{board.address} {host_key.with_suffix('.pub').read_text()}"
        for home in ("root", f"home/{USER}"):
            folder = board.root / home / ".ssh"
            folder.mkdir(mode=0o700, exist_ok=True)
            shutil.copy(desk / "key.pub", folder / "authorized_keys")
            owner = folder.parent.stat()
            for path in (folder, folder / "authorized_keys"):
                os.chown(path, owner.st_uid, owner.st_gid)
    (desk / "known_hosts").write_text(known)
