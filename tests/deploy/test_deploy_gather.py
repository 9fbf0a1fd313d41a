"""This machine asked as a board: what is found is so, and what may not be asked is None."""

from __future__ import annotations

import os
import platform
import shlex
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from l4t_tree import lay

from prism_edge.deploy.facts import Interface, Jtop, PowerMode
from prism_edge.deploy.gather import gather
from prism_edge.deploy.here import Here
from prism_edge.deploy.runner import Done
from prism_edge.errors import ClusterError, UnreachableError

HERE = Here(name="edge-1")


@dataclass(frozen=True, kw_only=True)
class Login:
    """This machine through a login: what it may not do as root, it is told so."""

    name: str = "edge-1"
    prefix: tuple[str, ...] = ()  # of every command
    refuses_root: bool = False
    asked: list[tuple[bool, str]] = field(default_factory=list)

    def run(
        self,
        command: str,
        *,
        root: bool = False,
        stdin: bytes | None = None,
        timeout_s: float = 60.0,
    ) -> Done:
        self.asked.append((root, command))
        if root and self.refuses_root:
            raise ClusterError("board edge-1: sudo wants a password")
        return HERE.run(shlex.join([*self.prefix, "sh", "-c", command]), timeout_s=timeout_s)

    def put(
        self,
        source: Path | bytes,
        target: str,
        *,
        mode: int = 0o644,
        sent: Callable[[int], None] | None = None,
    ) -> None:
        raise AssertionError("asking writes nothing")

    def get(self, source: str, target: Path) -> None:
        raise AssertionError("asking fetches nothing")


def test_this_machine() -> None:
    facts = gather(HERE, ("/etc/passwd", "/no/such/file"), python=sys.executable)
    assert facts.board == "edge-1"
    assert facts.identity.architecture == platform.machine()
    assert facts.identity.kernel == platform.release()
    assert facts.identity.hostname == socket.gethostname()
    assert facts.python is not None
    assert facts.python.executable == sys.executable
    assert facts.python.version == platform.python_version()
    loopback = facts.network.interfaces[0]
    assert (loopback.name, loopback.kind) == ("lo", "loopback")
    assert facts.network.wireguard in ("kernel", "userspace", "none")
    assert facts.storage.memory_bytes == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert facts.storage.free_bytes is not None
    assert facts.clock.skew_s is None
    assert set(facts.installed.files) <= {"/etc/passwd"}
    if os.geteuid() == 0:
        assert (facts.user.sudo, facts.user.no_root) == ("root", None)
        state = facts.installed.files["/etc/passwd"]
        assert (state.mode, state.owner) == (0o644, "root:root")
        sha = subprocess.run(["sha256sum", "/etc/passwd"], capture_output=True, text=True).stdout
        assert sha.startswith(state.sha256)


def test_another_machine_has_another_clock() -> None:
    clock = gather(Login(), python="/no/python").clock
    assert clock.skew_s is not None
    assert clock.bound_s is not None
    assert abs(clock.skew_s) <= clock.bound_s  # it is the same clock, after all


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_login_that_cannot_become_root() -> None:
    nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
    login = Login(prefix=nobody, refuses_root=True)
    facts = gather(login, ("/etc/passwd", "/etc/shadow"), python="/no/python")
    assert facts.user.sudo == "none"
    assert facts.user.no_root == "board edge-1: sudo wants a password"
    assert facts.network.firewall in (None, "none")
    assert facts.network.firewall_active is None
    assert set(facts.installed.files) == {"/etc/passwd"}  # the other is not for everybody
    assert facts.storage.free_bytes is not None
    assert sum(root for root, _ in login.asked) == 1  # it tried once


def test_few_round_trips() -> None:
    login = Login()
    gather(login, python="/no/python")
    assert len(login.asked) <= 7


def test_a_board_that_is_lost_on_the_way() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Vanishing(Login):
        def run(
            self,
            command: str,
            *,
            root: bool = False,
            stdin: bytes | None = None,
            timeout_s: float = 60.0,
        ) -> Done:
            if self.asked:
                raise UnreachableError("board edge-1: the connection is gone")
            return Login.run(self, command, root=root, stdin=stdin, timeout_s=timeout_s)

    with pytest.raises(UnreachableError):
        gather(Vanishing())


def test_a_login_without_a_shell() -> None:
    closed = Login(prefix=("echo", "This account is currently not available."))
    with pytest.raises(ClusterError, match="board edge-1: its shell does not answer"):
        gather(closed)


def test_a_noisy_shell() -> None:
    noisy = Login(prefix=("sh", "-c", 'echo Welcome; echo "@ model"; exec "$@"', "sh"))
    assert gather(noisy, python="/no/python").identity.kernel == platform.release()


@pytest.mark.lab
@pytest.mark.skipif(os.geteuid() != 0, reason="the kernel lays such trees for root only")
def test_a_tree_of_l4t(tmp_path: Path) -> None:
    facts = gather(Login(prefix=lay(tmp_path)), python="/no/python")
    assert facts.identity.model == "NVIDIA Jetson Orin Nano Developer Kit Super"
    assert facts.identity.compatible == ("nvidia,p3767-0005", "nvidia,tegra234")
    assert (facts.identity.l4t, facts.identity.jetpack) == ("36.4.3", "6.2")
    assert facts.power == PowerMode(
        current="15W", default="25W", offered={0: "15W", 1: "25W"}, clocks_locked=True
    )
    assert facts.network.interfaces == (
        Interface(name="wlP1p1s0", kind="wifi", up=True, power_save=True),
    )
    assert (facts.network.wireguard, facts.network.wireguard_why) == ("kernel", "")
    assert (facts.network.firewall, facts.network.firewall_active) == ("iptables", True)
    assert facts.storage.swap_kind == "sd"
    assert facts.clock.synchronised
    assert facts.clock.service == "chrony"
    assert facts.jtop == Jtop(service_version="4.3.2", active=True, member=False)
    assert facts.installed.active is None
