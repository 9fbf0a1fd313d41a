"""The private network of a cluster, if it has one: which address on it each board has."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv4Network, NetmaskValueError

from prism_edge.errors import SettingsError

MTU = 1420  # what is left of 1500 bytes, over IPv6 too
INTERFACE = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,14}", re.ASCII)  # the kernel takes 15 characters


@dataclass(frozen=True, slots=True, kw_only=True)
class MeshSettings:
    """An encrypted network (WireGuard) for what boards send each other while they compute.

    ``subnet``: such as ``10.99.0.0/24``, empty: no mesh; ``port``: of UDP.
    """

    subnet: str = ""
    interface: str = "prism0"
    port: int = 51820

    def __post_init__(self) -> None:
        if self.subnet:
            network = _network(self.subnet)
            if network.prefixlen < 8 or network.is_multicast or network.is_loopback:
                raise SettingsError(f"mesh: subnet = {self.subnet!r}, expected one for hosts")
        if not INTERFACE.fullmatch(self.interface):
            raise SettingsError(
                f"mesh: interface = {self.interface!r}, expected a letter and up to 14 more "
                f"letters, digits, or any of _ . -"
            )
        if not 1 <= self.port <= 65535:
            raise SettingsError(f"mesh: port = {self.port}, allowed is 1 to 65535")

    def address(self, index: int) -> str:
        """The address of the board listed at ``index``, from 0; there is a subnet."""
        return str(_network(self.subnet)[index + 1])

    def check(self, addresses: Sequence[str]) -> None:
        """The subnet has room for boards at ``addresses``, none of which is in it."""
        if not self.subnet:
            return
        network = _network(self.subnet)
        room = max(network.num_addresses - 2, 0)
        if room < len(addresses):
            raise SettingsError(
                f"mesh: subnet = {self.subnet!r} has room for {room}, {len(addresses)} boards are "
                f"listed"
            )
        for address in addresses:
            try:
                inside = IPv4Address(address) in network
            except AddressValueError:  # a name
                continue
            if inside:
                raise SettingsError(
                    f"mesh: subnet = {self.subnet!r} contains {address}, the address of a board on "
                    f"the network that carries the mesh; take another subnet"
                )


def _network(subnet: str) -> IPv4Network:
    try:
        return IPv4Network(subnet)
    except (AddressValueError, NetmaskValueError, ValueError) as error:
        raise SettingsError(
            f"mesh: subnet = {subnet!r}, expected an IPv4 network such as 10.99.0.0/24 ({error})"
        ) from None
