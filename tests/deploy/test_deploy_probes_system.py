"""Disk, memory, swap, clock, login, jetson-stats: every odd form, and nonsense."""

from __future__ import annotations

import pytest

from prism_edge.deploy.facts import Jtop, Storage
from prism_edge.deploy.probes import clock, user
from prism_edge.deploy.probes.installed import (
    digests,
    file_states,
    manifests,
    mesh_key,
    names,
    service,
    target,
)
from prism_edge.deploy.probes.jetson_stats import jtop
from prism_edge.deploy.probes.storage import storage, swap_kind

HEAD = "Filesystem     1024-blocks     Used Available Capacity Mounted on\n"
TIMEDATE = "NTP=yes\nNTPSynchronized={}\n"
ACTIVE = "LoadState=loaded\nActiveState=active\n"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("/dev/nvme0n1p1   479152840 41234560 413505312      10% /\n", 413505312),
        ("/dev/disk by name 479152840 41234560 7 10% /mnt/two words\n", 7),
        ("overlay 10 10 0 100% /\n", 0),
        ("/dev/x - - - - /\n", None),
        (f"/dev/x 1 1 {'9' * 5000} 1% /\n", None),
        ("", None),
    ],
)
def test_free_disk(line: str, expected: int | None) -> None:
    free = storage(HEAD + line, "", "").free_bytes
    assert free == (None if expected is None else expected * 1024)


def test_models_may_lie_on_another_disk() -> None:
    one, other = "/dev/a 9 1 8 10% /\n", "/dev/b 90 1 80 10% /var/lib\n"
    assert storage(one + other, "", "").data_free_bytes == 80 * 1024
    assert storage(one + one, "", "").data_free_bytes is None


def test_memory() -> None:
    found = storage("", "MemTotal:  100 kB\nMemAvailable: 40 kB\nSwapTotal: 0 kB\n", "swaps\n")
    assert found == Storage(
        memory_bytes=102400, available_bytes=40960, swap_bytes=0, swap_kind="none"
    )
    assert storage("", "MemTotal: much\n", "") == Storage()


@pytest.mark.parametrize(
    ("swaps", "expected"),
    [
        ("swaps\n", "none"),
        ("swaps\n/dev/zram0 \n/dev/zram1 \n", "zram"),
        ("swaps\n/dev/nvme0n1p1 \n", "disk"),
        ("swaps\n/dev/zram0 \n/dev/mmcblk0p1 MMC\n", "disk"),
        ("swaps\n/dev/nvme0n1p1 \n/dev/mmcblk1p1 SD\n", "sd"),
        ("", None),
        ("cat: /proc/swaps: no such file\n", None),
    ],
)
def test_kinds_of_swap(swaps: str, expected: str | None) -> None:
    assert swap_kind(swaps) == expected


@pytest.mark.parametrize(
    ("tracking", "timedate", "expected"),
    [
        ("Leap status     : Normal\n", TIMEDATE.format("no"), True),
        ("Leap status     : Not synchronised\n", TIMEDATE.format("yes"), False),
        ("506 Cannot talk to daemon\n", TIMEDATE.format("yes"), True),
        ("", TIMEDATE.format("no"), False),
        ("", "", None),
        ("Leap status", "NTPSynchronized=perhaps\n", None),
    ],
)
def test_whether_the_clock_is_kept(tracking: str, timedate: str, expected: bool | None) -> None:
    assert clock.synchronised(tracking, timedate) is expected


def test_who_keeps_the_clock() -> None:
    states = ["inactive"] * len(clock.SERVICES)
    assert clock.service("\n".join(states)) is None
    states[2] = "active"
    assert clock.service("\n".join(states)) == "systemd-timesyncd"
    assert clock.service("active\n") is None
    assert clock.service("") is None


def test_skew_of_a_clock() -> None:
    skew = clock.skew("1700000002.500000000\n", 1700000000.0, 1700000001.0)
    assert skew == (2.0, 0.5)


def test_skew_of_a_clock_that_knows_seconds_only() -> None:
    assert clock.skew("1700000002.%N\n", 1700000000.0, 1700000001.0) == (2.0, 1.0)
    assert clock.skew("1700000002.\n", 1700000000.0, 1700000001.0) == (2.0, 1.0)


@pytest.mark.parametrize("text", ["", "soon\n", "-5.000000000\n", "1 2\n", "9" * 400])
def test_nonsense_is_no_clock(text: str) -> None:
    assert clock.skew(text, 0.0, 1.0) is None


def test_login() -> None:
    assert user.login("nvidia\n1000\nnvidia sudo\n") == ("nvidia", False, ("nvidia", "sudo"))
    assert user.login("root\n0\nroot\n") == ("root", True, ("root",))
    assert user.login("nvidia\nx\nnvidia\n") is None
    assert user.login(f"nvidia\n{'9' * 5000}\nnvidia\n") is None
    assert user.login("") is None


def test_how_a_login_becomes_root() -> None:
    how = user.sudo
    assert how(is_root=True, free=False, root=True, groups=()) == "root"
    assert how(is_root=False, free=True, root=True, groups=()) == "free"
    assert how(is_root=False, free=True, root=False, groups=()) == "none"  # for "true" alone
    assert how(is_root=False, free=False, root=True, groups=()) == "password"
    assert how(is_root=False, free=False, root=False, groups=("sudo",)) == "password"
    assert how(is_root=False, free=False, root=False, groups=("video",)) == "none"


def test_jtop() -> None:
    assert jtop(None, "LoadState=not-found\nActiveState=inactive\n", "", ("jtop",)) == Jtop()
    assert jtop("4.3.2", "", "", ()) == Jtop(version="4.3.2", member=False)
    assert jtop(None, ACTIVE, "7.2.2\n", ("jtop",)) == Jtop(
        service_version="7.2.2", active=True, member=True
    )
    assert jtop("4.3.2", ACTIVE, "Traceback\n", ()).service_version is None


def test_names_are_ours_or_left_out() -> None:
    listing = "0.4.0-2222bbbb\n.tmp-1\nlost+found\ntwo words\n..\n0.5.0+local-1\n"
    assert names(listing) == ("0.4.0-2222bbbb", "lost+found", "0.5.0+local-1")


def test_a_manifest_that_is_broken_is_left_out() -> None:
    text = 'a {"id": "a"}\nb {"id"\nc [1]\n.d {"id": "d"}\ne ' + "[" * 100_000
    assert manifests(text) == {"a": {"id": "a"}}


def test_digests_and_states_of_files() -> None:
    sha = "0" * 64
    assert digests(f"{sha}  ./a/b.csv\n{sha} *c d.whl\nshort  e\n\\{sha}  odd\\nname\n") == {
        "a/b.csv": sha,
        "c d.whl": sha,
    }
    states = file_states(f"{sha} 4755 root:root /a b\n{sha} 999 root:root /c\n{sha} 644 root /d\n")
    assert [(path, state.mode) for path, state in states.items()] == [("/a b", 0o4755)]


def test_links_to_releases() -> None:
    assert target("releases/0.4.0-2222bbbb\n") == "0.4.0-2222bbbb"
    assert target("/opt/prism-edge/releases/0.4.0-2222bbbb\n") == "0.4.0-2222bbbb"
    assert target("") is None
    assert target("releases/\n") is None


def test_service() -> None:
    there = "LoadState=loaded\nActiveState={}\nUnitFileState={}\n"
    assert service(there.format("active", "enabled")) == ("active", True)
    assert service(there.format("failed", "disabled")) == ("failed", False)
    assert service("LoadState=not-found\nActiveState=inactive\nUnitFileState=\n") == (None, False)
    assert service("") == (None, False)


def test_a_key_looks_like_one() -> None:
    key = "J2nVX8yBQbIzV0Z4S1l8N5Jm2Gk0hPq7sT9uWxYzA3o="
    assert mesh_key(f"{key}\n") == key
    assert mesh_key("no key\n") is None
    assert mesh_key("") is None
