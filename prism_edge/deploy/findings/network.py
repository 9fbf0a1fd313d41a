"""Interfaces, addresses and names: whether others reach the board where it says it is."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address, ip_interface
from itertools import combinations

from prism_edge.deploy.facts import Interface
from prism_edge.deploy.findings.finding import Case, Finding, Fix

POWER_SAVE_OFF = "/etc/NetworkManager/conf.d/zz-wifi-powersave-off.conf"
ARP = "/etc/sysctl.d/90-prism-edge-arp.conf"


def findings(case: Case) -> Iterator[Finding]:
    yield from _own_name(case)
    yield from _address(case)
    yield from _arp(case)
    yield from _power_save(case)


def _own_name(case: Case) -> Iterator[Finding]:
    hostname, addresses = case.facts.identity.hostname, case.facts.network.own_name
    loopback = [address for address in addresses if _is_loopback(address)]
    if not loopback:
        return
    is_address = case.board is not None and case.board.address == hostname
    if is_address and case.several:
        yield Finding(
            code="name-is-loopback",
            severity="blocked",
            what=f"its address in cluster.toml is its own name, {hostname}, which means "
            f"{loopback[0]} on the board itself: it would listen where nobody else is",
            where="cluster.toml and /etc/hosts",
            remedy=f"Give its number as address of this board in cluster.toml"
            f"{_suggested(case, '; it has ')}.",
        )
    else:
        yield Finding(
            code="name-is-loopback",
            severity="note",
            what=f"its own name, {hostname}, means {loopback[0]}; prism-edge goes by the address "
            f"in cluster.toml, other programs on torch.distributed fail to connect",
            where="/etc/hosts",
            remedy="Nothing to do for prism-edge. For others, set GLOO_SOCKET_IFNAME, or give the "
            "name the board's address in /etc/hosts, if that address is fixed.",
        )


def _address(case: Case) -> Iterator[Finding]:
    if case.board is None or not case.several or not case.facts.network.interfaces:
        return
    address = case.board.address
    if not _is_number(address):
        return
    if _is_loopback(address):
        yield Finding(
            code="address-loopback",
            severity="blocked",
            what=f"its address is {address}, which no other board reaches",
            where="cluster.toml",
            remedy=f"Give the address that others reach{_suggested(case, '; it has ')}.",
        )
        return
    carrier = _carrier(case, address)
    if carrier is None:
        yield Finding(
            code="address-elsewhere",
            severity="blocked",
            what=f"{address} is on none of its interfaces: its engine cannot listen there",
            where="cluster.toml",
            remedy=f"Give the address that it has{_suggested(case, ': ')}; a board behind "
            f"address translation cannot take part.",
        )
    elif not carrier.up:
        yield Finding(
            code="interface-down",
            severity="blocked",
            what=f"{carrier.name}, which has {address}, is down",
            where=carrier.name,
            remedy=f"Is the cable in, or the access point on?\n"
            f"$ sudo ip link set {carrier.name} up",
        )
    elif carrier.kind == "wifi":
        wired = [one for one in _of_kind(case, "ethernet") if _networks(one)]
        if wired:
            yield Finding(
                code="address-on-wifi",
                severity="note",
                what=f"{address} is on Wi-Fi ({carrier.name}) while Ethernet ({wired[0].name}, "
                f"{wired[0].addresses[0]}) is up",
                where="cluster.toml",
                remedy="If the other boards are on that Ethernet too, give its address: it is "
                "faster and steadier.",
            )


def _arp(case: Case) -> Iterator[Finding]:
    network = case.facts.network
    if network.arp_ignore == 1 and network.arp_announce == 2:
        return
    for one, other in combinations([*_of_kind(case, "ethernet"), *_of_kind(case, "wifi")], 2):
        both = sorted(map(str, _networks(one) & _networks(other)))
        if both:
            yield Finding(
                code="arp",
                severity="warning",
                what=f"{one.name} and {other.name} are both in {both[0]}, and either answers for "
                f"the other's address: traffic may take the wrong one",
                where=f"{one.name}, {other.name}",
                remedy="Switch one of them off, or let each answer for its own address only:\n"
                "$ printf 'net.ipv4.conf.all.arp_ignore = 1\\n"
                f"net.ipv4.conf.all.arp_announce = 2\\n' | sudo tee {ARP}\n"
                f"$ sudo sysctl -p {ARP}",
            )


def _power_save(case: Case) -> Iterator[Finding]:
    address = case.board.address if case.board is not None else ""
    carrier = _carrier(case, address) if _is_number(address) else None
    for wifi in _of_kind(case, "wifi"):
        if not wifi.power_save:
            continue
        used = carrier is None or carrier.name == wifi.name
        yield Finding(
            code="wifi-power-save",
            severity="warning" if used else "note",
            what=f"Wi-Fi power save of {wifi.name} is on: a reply waits until the card wakes up, "
            f"tens of milliseconds",
            where=wifi.name,
            remedy=f"$ sudo iw dev {wifi.name} set power_save off\n"
            f"$ printf '[connection]\\nwifi.powersave = 2\\n' | sudo tee {POWER_SAVE_OFF}",
            fix=Fix(
                why=f"Wi-Fi power save of {wifi.name} off, now and after a boot",
                files={POWER_SAVE_OFF: "zz-wifi-powersave-off.conf"},
                commands=(
                    f"iw dev {wifi.name} set power_save off",
                    "if command -v nmcli >/dev/null; then nmcli general reload; fi",
                ),
            ),
        )


def _of_kind(case: Case, kind: str) -> list[Interface]:
    return [one for one in case.facts.network.interfaces if one.kind == kind and one.up]


def _carrier(case: Case, address: str) -> Interface | None:
    """The interface that has this address."""
    wanted = ip_address(address)
    for one in case.facts.network.interfaces:
        if any(ip_interface(has).ip == wanted for has in one.addresses):
            return one
    return None


def _networks(one: Interface) -> set[object]:
    """That the interface is in; link-local IPv6, which every interface is in, left out."""
    found = (ip_interface(address) for address in one.addresses)
    return {item.network for item in found if not item.is_link_local}


def _suggested(case: Case, before: str) -> str:
    """``before`` and the addresses that others may reach; empty when there are none."""
    found = [
        str(item.ip)
        for one in case.facts.network.interfaces
        if one.up and one.kind in ("ethernet", "wifi", "other")
        for item in map(ip_interface, one.addresses)
        if item.version == 4 and not item.is_loopback
    ]
    return before + ", ".join(found) if found else ""


def _is_number(address: str) -> bool:
    try:
        ip_address(address)
    except ValueError:
        return False
    return True


def _is_loopback(address: str) -> bool:
    return _is_number(address) and ip_address(address).is_loopback
