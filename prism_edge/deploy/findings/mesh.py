"""The mesh, where one is configured: whether it can be had, runs, and is the only way in."""

from __future__ import annotations

from collections.abc import Iterator

from prism_edge.deploy.findings.finding import Case, Finding

NO_MESH = "remove [mesh] from cluster.toml if the network between the boards is one you trust"


def findings(case: Case) -> Iterator[Finding]:
    if case.mesh is None:
        return
    network, interface = case.facts.network, case.mesh.interface
    why = f": {network.wireguard_why}" if network.wireguard_why else ""
    if network.wireguard == "none":
        yield Finding(
            code="mesh-impossible",
            severity="blocked",
            what=f"cluster.toml has a [mesh], and there is no WireGuard{why}",
            where="modprobe wireguard, wireguard-go, /dev/net/tun",
            remedy="JetPack's kernels come without the module; wireguard-go needs none:\n"
            f"$ sudo apt-get install wireguard-tools wireguard-go\nOr {NO_MESH}.",
        )
        return
    if network.wireguard == "userspace":
        yield Finding(
            code="mesh-userspace",
            severity="note",
            what=f"the kernel has no WireGuard{why}; wireguard-go does the encryption, which "
            f"costs CPU time and latency",
            where="modprobe wireguard",
            remedy="Nothing to do. Measure with it: profile sees what it costs.",
        )
    if case.facts.installed.current is not None and not case.facts.installed.mesh_active:
        yield Finding(
            code="mesh-down",
            severity="blocked",
            what=f"{interface} is not up, and engines talk over it only",
            where=interface,
            remedy=f"See why, then start it:\n$ journalctl -b -u wg-quick@{interface}\n"
            f"$ sudo systemctl restart wg-quick@{interface}",
        )
    yield from _firewall(case, interface)


def _firewall(case: Case, interface: str) -> Iterator[Finding]:
    network = case.facts.network
    if network.firewall == "none":
        what = "neither nftables nor iptables works here"
    elif network.firewall is not None and network.firewall_active is False:
        what = f"{network.firewall} works and has no rules for what comes in"
    else:
        return
    yield Finding(
        code="firewall-absent",
        severity="warning",
        what=f"{what}: Linux takes packets for an address of {interface} from the other network "
        f"cards too, so the mesh can be walked around",
        where=network.firewall if network.firewall != "none" else "nft, iptables",
        remedy="Push lays rules for the mesh; the Ansible playbook that prepares boards lays "
        "those for the board. Then look from another machine whether a port answers."
        if network.firewall != "none"
        else "Install nftables; where the kernel cannot (JetPack 5), keep others out of this "
        "network.",
    )
