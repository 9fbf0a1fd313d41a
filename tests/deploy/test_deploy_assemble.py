"""Whole boards, from what they have answered: right facts, and nothing worse than None."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recorded import DATA, FILES, Answers, load

from prism_edge.deploy.assemble import assemble
from prism_edge.deploy.facts import Clock, Facts, FileState, Interface, Jtop, PowerMode
from prism_edge.deploy.probes.script import SILENCE, Answer
from prism_edge.errors import ClusterError

BOARDS = sorted(path.stem for path in DATA.glob("*.txt"))


def put_together(said: Answers, *, root: bool = True) -> Facts:
    return assemble(
        "edge-1", said, said, torch_said=said["torch"], files=FILES, no_root=None if root else "no"
    )


def test_an_orin_nano_on_jetpack_6() -> None:
    facts = put_together(load("orin-nano-jetpack-6.2"))
    assert facts.identity.model == (
        "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super"
    )
    assert facts.identity.compatible[-1] == "nvidia,tegra234"
    assert (facts.identity.l4t, facts.identity.jetpack) == ("36.4.3", "6.2")
    assert (facts.identity.architecture, facts.identity.hostname) == ("aarch64", "edge-1")
    assert facts.identity.system == "Ubuntu 22.04.5 LTS"
    assert facts.python is not None
    assert facts.python.version == "3.10.12"
    assert facts.torch.pins["torch"] == "2.5.0a0+872d972e41.nv24.8"
    assert facts.torch.version == "2.5.0a0+872d972e41.nv24.08"
    assert (facts.torch.cuda, facts.torch.cuda_available, facts.torch.gloo) == ("12.6", True, True)
    assert facts.torch.error is None
    assert facts.power == PowerMode(
        current="MAXN_SUPER",
        default="25W",
        offered={0: "15W", 1: "25W", 2: "MAXN_SUPER"},
        clocks_locked=True,
    )
    assert facts.network.interfaces == (
        Interface(name="lo", kind="loopback", up=True, addresses=("127.0.0.1/8", "::1/128")),
        Interface(name="can0", kind="other", up=False),
        Interface(
            name="wlP1p1s0",
            kind="wifi",
            up=True,
            addresses=("192.168.7.11/24", "fe80::1:3/64"),
            power_save=True,
        ),
        Interface(name="enP8p1s0", kind="ethernet", up=True, addresses=("10.0.0.11/24",)),
        Interface(name="l4tbr0", kind="other", up=False, addresses=("192.168.55.1/24",)),
        Interface(name="usb0", kind="ethernet", up=False),
        Interface(name="prism0", kind="wireguard", up=True, addresses=("10.99.0.1/24",)),
    )
    assert facts.network.own_name == ("127.0.1.1",)
    assert (facts.network.wireguard, facts.network.wireguard_why) == ("kernel", "")
    assert (facts.network.firewall, facts.network.firewall_active) == ("iptables", True)
    assert (facts.network.arp_ignore, facts.network.arp_announce) == (0, 0)
    assert facts.storage.free_bytes == 413505312 * 1024
    assert facts.storage.swap_kind == "zram"
    assert facts.clock == Clock(synchronised=True, service="chrony")
    assert (facts.user.name, facts.user.sudo) == ("nvidia", "password")
    assert facts.jtop == Jtop(version="4.3.2", service_version="4.3.2", active=True, member=True)


def test_what_of_ours_is_on_it() -> None:
    there = put_together(load("orin-nano-jetpack-6.2")).installed
    assert there.releases == ("0.3.0-1111aaaa", "0.4.0-2222bbbb")
    assert there.manifests["0.4.0-2222bbbb"]["environment"] == "e-1234abcd"
    assert there.environments == ("e-1234abcd",)
    assert there.wheels["prism_edge-0.4.0-py3-none-any.whl"] == "b" * 64
    assert there.models == ("vit-base-0123456789ab",)
    assert there.profiles == {"desk/compute.csv": "c" * 64, "desk/links.csv": "d" * 64}
    assert there.files == {
        "/etc/prism-edge/token": FileState(
            sha256="e" * 64, mode=0o600, owner="prism-edge:prism-edge"
        ),
        "/etc/hostname": FileState(sha256="f" * 64, mode=0o644, owner="root:root"),
    }
    assert (there.current, there.previous) == ("0.4.0-2222bbbb", "0.3.0-1111aaaa")
    assert there.pending is None
    assert (there.user, there.groups) == (True, ("prism-edge", "video", "render"))
    assert (there.active, there.enabled) == ("active", True)
    assert there.mesh_key == "J2nVX8yBQbIzV0Z4S1l8N5Jm2Gk0hPq7sT9uWxYzA3o="
    assert there.mesh_active


def test_a_release_that_has_not_proved_healthy() -> None:
    said = load("orin-nano-jetpack-6.2") | {
        "pending": Answer(code=0, out="0.4.0-2222bbbb 0.3.0-1111aaaa -\n")
    }
    assert put_together(said).installed.pending == "0.4.0-2222bbbb"


def test_an_orin_nano_on_jetpack_5() -> None:
    facts = put_together(load("orin-nano-jetpack-5.1.2"), root=False)
    assert (facts.identity.l4t, facts.identity.jetpack) == ("35.4.1", "5.1.2")
    assert facts.python is not None
    assert (facts.python.version, facts.python.venv) == ("3.8.10", False)
    assert (facts.torch.distributed, facts.torch.gloo) == (False, False)
    assert (facts.power.current, facts.power.default) == ("7W", "15W")
    assert facts.power.clocks_locked is False
    kinds = {interface.name: interface.kind for interface in facts.network.interfaces}
    assert kinds == {"lo": "loopback", "eth0": "ethernet", "wlan0": "wifi", "docker0": "other"}
    assert facts.network.interfaces[2].power_save is None
    assert facts.network.wireguard == "none"
    assert "install wireguard-tools" in facts.network.wireguard_why
    assert facts.network.firewall == "none"
    assert (facts.storage.free_bytes, facts.storage.swap_kind) == (989424 * 1024, "sd")
    assert facts.clock == Clock(synchronised=True, service="systemd-timesyncd")
    assert facts.user.sudo == "none"
    assert facts.jtop == Jtop(version="4.3.2", active=False, member=False)
    assert facts.installed.current is None
    assert facts.installed.releases == ()
    assert facts.installed.active is None


def test_a_jetson_newer_than_the_table() -> None:
    facts = put_together(load("orin-nx-unknown-l4t"))
    assert (facts.identity.l4t, facts.identity.jetpack) == ("39.9.9", None)
    assert facts.power.current == "40W"
    assert facts.torch.version == "2.11.0+cu130"
    assert (facts.torch.distributed, facts.torch.gloo) == (True, None)
    assert facts.torch.error == "testing it ended Python with signal 6"
    assert facts.network.own_name == ()
    assert facts.network.wireguard == "userspace"
    assert (facts.network.firewall, facts.network.firewall_active) == ("nft", True)
    assert facts.storage.swap_kind == "none"
    assert facts.clock.synchronised is None
    assert facts.user.sudo == "root"
    assert facts.jtop == Jtop()


def test_a_computer_that_is_no_jetson() -> None:
    facts = put_together(load("debian-12"))
    assert facts.identity.model is None
    assert (facts.identity.l4t, facts.identity.jetpack) == (None, None)
    assert facts.identity.system == "Debian GNU/Linux 12 (bookworm)"
    assert facts.power == PowerMode()
    assert facts.torch.error == "ModuleNotFoundError: No module named 'torch'"
    assert [(each.name, each.kind) for each in facts.network.interfaces] == [
        ("lo", "loopback"),
        ("eth0", "ethernet"),
        ("wg9", "wireguard"),
    ]
    assert facts.network.wireguard == "userspace"
    assert (facts.network.firewall, facts.network.firewall_active) == ("nft", True)
    assert facts.clock == Clock(synchronised=False)
    assert facts.installed.files["/etc/hostname"].mode == 0o755


def test_a_shell_that_answers_nothing_is_an_error() -> None:
    with pytest.raises(ClusterError, match="board edge-1: its shell does not answer uname and id"):
        put_together(dict.fromkeys(load("debian-12"), SILENCE))


def leaves(value: object, place: str = "") -> dict[str, object]:
    """Every value inside, by its place."""
    if is_dataclass(value):
        found = {}
        for field in fields(value):
            found |= leaves(getattr(value, field.name), f"{place}.{field.name}")
        return found
    return {place: value}


# Where an answer has a second source, or says less than nothing.
SECOND = {
    "nvpmodel-status": {".power.current"},
    "nvpmodel": {".power.current"},
    "wifi": {".network.interfaces"},
    "addresses": {".network.interfaces"},
    "tunnels": {".network.interfaces"},
    "tracking": {".clock.synchronised"},
    "nft": {".network.firewall_active"},
    "iptables": {".network.firewall_active"},
    "wireguard": {".network.wireguard_why"},
    "torch": {".torch.error"},
    "system": {".identity.system"},
    "jtop": {".jtop.member"},
}


@pytest.mark.parametrize("board", BOARDS)
def test_a_probe_without_an_answer_takes_away_and_adds_nothing(board: str) -> None:
    said = load(board)
    before = leaves(put_together(said))
    for probe in said.keys() - {"kernel", "id"}:
        after = leaves(put_together(said | {probe: SILENCE}))
        changed = {place for place in before if before[place] != after.get(place)}
        for place in changed - SECOND.get(probe, set()):
            assert after.get(place) in (None, (), {}, False), (probe, place, after)


@st.composite
def spoiled(draw: st.DrawFn) -> Answers:
    """A board, some of whose answers are cut, mixed up or nonsense."""
    said = load(draw(st.sampled_from(BOARDS)))
    for probe in draw(st.lists(st.sampled_from(sorted(said)), min_size=1, max_size=4)):
        out, other = said[probe].out, said[draw(st.sampled_from(sorted(said)))].out
        start = draw(st.integers(0, len(out)))
        stop = draw(st.integers(start, len(out)))
        noise = draw(st.one_of(st.text(max_size=20), st.just(other), st.just("9" * 5000)))
        code = draw(st.sampled_from((0, 1, 124, 127, 134)))
        said[probe] = Answer(code=code, out=out[:start] + noise + out[stop:])
    return said


@settings(deadline=None)
@given(said=spoiled(), root=st.booleans())
def test_no_answer_breaks_it(said: Mapping[str, Answer], root: bool) -> None:
    with contextlib.suppress(ClusterError):  # uname and id said nothing
        assert put_together(dict(said), root=root).board == "edge-1"
