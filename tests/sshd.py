"""A real sshd on a board of a lab, with keys, known_hosts and client configuration of its own."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from prism_edge.cluster import processes
from prism_edge.cluster.lab import Lab
from prism_edge.cluster.local import LocalHost, kill_group
from prism_edge.settings import BoardSettings

PORT = 2222
SERVER = """
ListenAddress {address}:{port}
HostKey {directory}/host_key
AuthorizedKeysFile {directory}/user_key.pub
PidFile none
StrictModes no
UsePAM no
PermitRootLogin yes
PasswordAuthentication no
KbdInteractiveAuthentication no
"""
CLIENT = """
IdentityFile {directory}/user_key
IdentitiesOnly yes
UserKnownHostsFile {directory}/known_hosts
GlobalKnownHostsFile none
StrictHostKeyChecking no
"""  # the last line is what prism-edge must overrule


@dataclass(frozen=True, kw_only=True)
class SshBoards:
    """A lab whose boards are reached by SSH; ``config`` is for ``ssh -F``."""

    lab: Lab
    directory: Path

    @property
    def config(self) -> Path:
        return self.directory / "config"

    def board(self, host: LocalHost, *, user: str = "root") -> BoardSettings:
        return BoardSettings(
            name=host.name,
            address=host.address,
            power="none",
            ssh=f"{user}@{host.address}:{PORT}",
            ssh_config=self.config,
            python=sys.executable,
        )

    def boards(self) -> tuple[BoardSettings, ...]:
        return tuple(self.board(host) for host in self.lab.hosts())

    def running(self, name: str, words: str) -> list[int]:
        """Processes on the board that have ``words`` in their command line."""
        keeper = self.lab.state.board(name).keeper
        assert keeper is not None
        space = processes.network(keeper.pid)
        return [
            pid
            for pid in processes.pids()
            if processes.network(pid) == space and words in command_line(pid)
        ]


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def gone(boards: SshBoards, name: str, words: str, patience_s: float = 60.0) -> bool:
    """True as soon as no such process is left on the board."""
    until_s = time.monotonic() + patience_s
    while boards.running(name, words):
        if time.monotonic() > until_s:
            return False
        time.sleep(0.05)
    return True


def new_key(path: Path) -> str:
    """The public half of a new key."""
    argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(path)]
    subprocess.run(argv, check=True, timeout=60)
    return path.with_suffix(".pub").read_text().strip()


@contextlib.contextmanager
def ssh_boards(lab: Lab, directory: Path) -> Iterator[SshBoards]:
    """Every board of the lab runs an sshd that lets root in by key; they share a host key."""
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where sshd drops its rights
    public = new_key(directory / "host_key")
    new_key(directory / "user_key")
    (directory / "config").write_text(CLIENT.format(directory=directory))
    known = [f"[{host.address}]:{PORT} {public}\n" for host in lab.hosts()]
    (directory / "known_hosts").write_text("".join(known))
    with contextlib.ExitStack() as stack:
        for host in lab.hosts():
            stack.enter_context(sshd(host, directory))
        yield SshBoards(lab=lab, directory=directory)


@contextlib.contextmanager
def sshd(host: LocalHost, directory: Path) -> Iterator[None]:
    config = directory / f"sshd_{host.name}"
    config.write_text(SERVER.format(address=host.address, port=PORT, directory=directory))
    with (directory / f"sshd_{host.name}.log").open("wb") as log:
        argv = ["/usr/sbin/sshd", "-D", "-e", "-f", str(config)]  # it insists on its full path
        process = host.popen(argv, stdin=subprocess.DEVNULL, stderr=log)
    try:
        wait_for(host.address, process)
        yield
    finally:
        kill_group(process)


def wait_for(address: str, process: subprocess.Popen[bytes]) -> None:
    until_s = time.monotonic() + 60
    while True:
        with contextlib.suppress(OSError), socket.create_connection((address, PORT), 5):
            return
        assert process.poll() is None, "sshd has ended; see its log"
        assert time.monotonic() < until_s, "sshd does not listen"
        time.sleep(0.05)
