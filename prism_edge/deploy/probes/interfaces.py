"""The board's network interfaces, what kind each is, and what its own name resolves to."""

from __future__ import annotations

import ipaddress
import re

from prism_edge.deploy.facts import Interface, InterfaceKind

LINKS = "ip -o -d link || ip -o link"
ADDRESSES = "ip -o addr"
# A line per wireless interface: its name, and what iw says of power save.
WIFI = """\
for d in /sys/class/net/*; do
    [ -e "$d/wireless" ] || [ -e "$d/phy80211" ] || continue
    echo "${d##*/} $(iw dev "${d##*/}" get power_save 2>/dev/null)"
done
:"""
# A line per tunnel of wireguard-go, which the kernel takes for any other.
TUNNELS = "ls -1 /run/wireguard"
OWN_NAME = """\
n=$(uname -n)
if command -v getent >/dev/null; then getent ahosts "$n"; else
    while read -r address names; do
        case " $names " in *" $n "*) echo "$address" ;; esac
    done </etc/hosts
fi
:"""
ARP = "cat /proc/sys/net/ipv4/conf/all/arp_ignore /proc/sys/net/ipv4/conf/all/arp_announce"

_LINK = re.compile(r"^\d+: ([^\s:@]+)(?:@\S+)?: <([A-Z0-9_,-]*)> (.*)$", re.MULTILINE)
_ADDRESS = re.compile(r"^\d+: ([^\s:@]+)(?:@\S+)?:?\s+inet6?\s+(\S+)(?: peer (\S+))?", re.MULTILINE)
_OTHER = re.compile(r"\b(bridge|vlan|dummy|ifb|tun|gretap|vxlan) ")


def interfaces(links: str, addresses: str, wifi: str, tunnels: str) -> tuple[Interface, ...]:
    """All of them, in the kernel's order."""
    saving = dict(re.findall(r"^(\S+) ?(.*)$", wifi, re.MULTILINE))
    user_tunnels = {line.removesuffix(".sock") for line in tunnels.split()}
    found: dict[str, list[str]] = {}
    for name, address, peer in _ADDRESS.findall(addresses):
        if (whole := _with_prefix(address, peer)) is not None:
            found.setdefault(name, []).append(whole)
    return tuple(
        Interface(
            name=name,
            kind=_kind(name, flags, rest, name in saving, name in user_tunnels),
            up={"UP", "LOWER_UP"} <= set(flags.split(",")),
            addresses=tuple(found.get(name, ())),
            power_save=_on(saving.get(name, "")),
        )
        for name, flags, rest in _LINK.findall(links)
    )


def _kind(name: str, flags: str, rest: str, wireless: bool, user_tunnel: bool) -> InterfaceKind:
    detail = rest.partition("link/")[2] + " "
    if "LOOPBACK" in flags.split(","):
        return "loopback"
    if wireless:
        return "wifi"
    if user_tunnel or re.search(r"\bwireguard\b", detail):
        return "wireguard"
    return "ethernet" if detail.startswith("ether ") and not _OTHER.search(detail) else "other"


def _with_prefix(address: str, peer: str) -> str | None:
    text = address if "/" in address or not peer else f"{address}/{peer.partition('/')[2]}"
    try:
        return str(ipaddress.ip_interface(text))
    except ValueError:
        return None


def _on(said: str) -> bool | None:
    found = re.search(r"Power save: (on|off)\b", said)
    return found[1] == "on" if found else None


def own_name(text: str) -> tuple[str, ...]:
    """The addresses, each once; empty: the name means nothing there."""
    found = []
    for line in text.splitlines():
        try:
            found.append(str(ipaddress.ip_address((line.split() or [""])[0])))
        except ValueError:
            continue
    return tuple(dict.fromkeys(found))


def arp(text: str) -> tuple[int | None, int | None]:
    """arp_ignore and arp_announce for all interfaces."""
    found = re.fullmatch(r"(\d{1,2})\n(\d{1,2})\n?", text, re.ASCII)
    return (int(found[1]), int(found[2])) if found else (None, None)
