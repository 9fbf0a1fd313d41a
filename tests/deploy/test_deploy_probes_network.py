"""Interfaces, names, WireGuard and firewalls: every odd form, and nonsense."""

from __future__ import annotations

import pytest

from prism_edge.deploy.facts import Interface
from prism_edge.deploy.probes.firewall import firewall, iptables_filters, nft_filters
from prism_edge.deploy.probes.interfaces import arp, interfaces, own_name
from prism_edge.deploy.probes.script import SILENCE, Answer
from prism_edge.deploy.probes.wireguard import wireguard

# Recorded: busybox 1.35 prints fewer words, and knows no option for more.
BUSYBOX_LINKS = "".join(
    f"{line}\n"
    for line in (
        r"1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536 qdisc noqueue qlen 1000\    "
        r"link/loopback 00:00:00:00:00:00 brd 00:00:00:00:00:00",
        r"3: eth0@p0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc noqueue qlen 1000\    "
        r"link/ether fa:1d:ee:5b:18:2d brd ff:ff:ff:ff:ff:ff",
    )
)
BUSYBOX_ADDRESSES = "".join(
    f"{line}\\       valid_lft forever preferred_lft forever\n"
    for line in (
        "1: lo    inet 127.0.0.1/8 scope host lo",
        "3: eth0    inet 172.17.0.2/16 scope global eth0",
    )
)
FAILS = Answer(code=1, out="")
ABSENT = Answer(code=127, out="")
OPEN = Answer(code=0, out="-P INPUT ACCEPT\n-A FORWARD -j DROP\n")
CLOSED = Answer(code=0, out="-P INPUT DROP\n")
NO_RULES = Answer(code=0, out="")


def one(detail: str, *, flags: str = "UP,LOWER_UP", **said: str) -> Interface:
    link = f"2: x0: <{flags}> mtu 1500 qdisc x state UNKNOWN \\    {detail} \n"
    asked = {"addresses": "", "wifi": "", "tunnels": ""} | said
    return interfaces(link, **asked)[0]


def test_busybox_says_enough() -> None:
    assert interfaces(BUSYBOX_LINKS, BUSYBOX_ADDRESSES, "", "") == (
        Interface(name="lo", kind="loopback", up=True, addresses=("127.0.0.1/8",)),
        Interface(name="eth0", kind="ethernet", up=True, addresses=("172.17.0.2/16",)),
    )


@pytest.mark.parametrize(
    ("detail", "expected"),
    [
        (r"link/ether 02:00 brd ff:ff promiscuity 0", "ethernet"),
        (r"link/ether 02:00 brd ff:ff promiscuity 0 \    veth addrgenmode eui64", "ethernet"),
        (r"link/ether 02:00 \    bridge_slave state forwarding designated_bridge 8", "ethernet"),
        (r"link/ether 02:00 \    bridge forward_delay 1500", "other"),
        (r"link/ether 02:00 \    vlan protocol 802.1Q id 5", "other"),
        (r"link/ether 02:00 \    dummy addrgenmode eui64", "other"),
        (r"link/none  promiscuity 0 \    wireguard addrgenmode none", "wireguard"),
        (r"link/none  promiscuity 0 \    tun type tun pi on", "other"),
        (r"link/can  promiscuity 0 \    can state STOPPED", "other"),
    ],
)
def test_kinds_of_interfaces(detail: str, expected: str) -> None:
    assert one(detail).kind == expected


def test_a_tunnel_of_wireguard_go_is_one_of_wireguard() -> None:
    detail = r"link/none  promiscuity 0 \    tun type tun pi on"
    assert one(detail, tunnels="x0.sock\n").kind == "wireguard"
    assert one(detail, tunnels="x1.sock\n").kind == "other"


def test_a_cable_that_is_not_plugged_in() -> None:
    assert not one("link/ether 02:00", flags="NO-CARRIER,BROADCAST,MULTICAST,UP").up
    assert not one("link/ether 02:00", flags="BROADCAST,MULTICAST").up


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("x0 Power save: on\n", True),
        ("x0 Power save: off\n", False),
        ("x0 \n", None),
        ("x0 command failed: Operation not supported (-95)\n", None),
    ],
)
def test_power_save_of_wifi(said: str, expected: bool | None) -> None:
    found = one("link/ether 02:00", wifi=said)
    assert (found.kind, found.power_save) == ("wifi", expected)


def test_an_address_with_a_peer_has_its_prefix() -> None:
    line = "2: x0    inet 10.0.0.1 peer 10.0.0.2/32 scope global x0\\       valid_lft forever\n"
    assert one("link/none", addresses=line).addresses == ("10.0.0.1/32",)


def test_nonsense_is_no_address() -> None:
    line = "2: x0    inet 10.0.0.999/24 scope global\n2: x0    inet6 :::/x scope global\n"
    assert one("link/ether 02:00", addresses=line).addresses == ()


def test_own_name() -> None:
    assert own_name("127.0.1.1 STREAM edge-1\n127.0.1.1 DGRAM \n10.0.0.11 STREAM\n") == (
        "127.0.1.1",
        "10.0.0.11",
    )
    assert own_name("") == ()
    assert own_name("edge-1: no such name\n\n") == ()


def test_arp() -> None:
    assert arp("1\n2\n") == (1, 2)
    assert arp("1\n") == (None, None)
    assert arp("x\ny\n") == (None, None)


@pytest.mark.parametrize(
    ("there", "expected", "why"),
    [
        ("module tun wg wg-quick wireguard-go end", "kernel", ""),
        ("tun wg wg-quick wireguard-go end", "userspace", "no module wireguard"),
        ("wg wg-quick wireguard-go end", "none", "lacks /dev/net/tun"),
        ("tun wg wg-quick end", "none", "no program wireguard-go"),
        ("module tun wg end", "none", "install wireguard-tools"),
        ("end", "none", "install wireguard-tools"),
        ("module tun wg wg-quick", None, ""),
        ("", None, ""),
    ],
)
def test_what_could_carry_a_mesh(there: str, expected: str | None, why: str) -> None:
    kind, said = wireguard(there.replace(" ", "\n"))
    assert kind == expected
    assert why in said
    assert bool(said) == (kind in ("userspace", "none"))


@pytest.mark.parametrize(
    ("nft", "iptables", "expected"),
    [
        (NO_RULES, ABSENT, ("nft", False)),
        (NO_RULES, CLOSED, ("nft", True)),
        (FAILS, OPEN, ("iptables", False)),
        (FAILS, CLOSED, ("iptables", True)),
        (ABSENT, OPEN, ("iptables", False)),
        (FAILS, FAILS, ("none", None)),
        (ABSENT, ABSENT, ("none", None)),
        (Answer(code=124, out=""), OPEN, (None, None)),
        (SILENCE, SILENCE, (None, None)),
    ],
)
def test_the_firewall_that_works(
    nft: Answer, iptables: Answer, expected: tuple[str | None, bool | None]
) -> None:
    assert firewall(nft, iptables, root=True) == expected


def test_without_root_only_absence_is_known() -> None:
    assert firewall(FAILS, FAILS, root=False) == (None, None)
    assert firewall(ABSENT, FAILS, root=False) == (None, None)
    assert firewall(ABSENT, ABSENT, root=False) == ("none", None)


def chain(head: str, *rules: str) -> str:
    body = "".join(f"\t\t{line}\n" for line in (head, *rules))
    return (
        f"table inet filter {{\n\tchain one {{\n{body}\t}}\n\tchain two {{\n\t\taccept\n\t}}\n}}\n"
    )


@pytest.mark.parametrize(
    ("ruleset", "expected"),
    [
        ("", False),
        (chain("type filter hook input priority filter; policy accept;"), False),
        (chain("type filter hook input priority filter; policy drop;"), True),
        (chain("type filter hook input priority filter; policy accept;", "tcp dport 1 drop"), True),
        (chain("type filter hook forward priority filter; policy drop;", "accept"), False),
        (chain("type nat hook postrouting priority srcnat; policy accept;", "masquerade"), False),
    ],
)
def test_rules_of_nft_for_what_comes_in(ruleset: str, expected: bool) -> None:
    assert nft_filters(ruleset) is expected


def test_rules_of_iptables_for_what_comes_in() -> None:
    assert not iptables_filters(OPEN.out)
    assert iptables_filters(CLOSED.out)
    assert iptables_filters("-P INPUT ACCEPT\n-A INPUT -i prism0 -j ACCEPT\n")
    assert not iptables_filters("-P INPUT ACCEPT\n-N DOCKER\n-A FORWARD -j DOCKER\n")
