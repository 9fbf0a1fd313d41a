"""The answers of a board put together into facts; pure, so that recorded answers do as well."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from prism_edge.deploy.facts import (
    Clock,
    Facts,
    Identity,
    Installed,
    Network,
    UserFacts,
)
from prism_edge.deploy.probes import (
    clock,
    firewall,
    identity,
    installed,
    interfaces,
    jetson_stats,
    power,
    storage,
    torch,
    user,
    wireguard,
)
from prism_edge.deploy.probes import python as python_probe
from prism_edge.deploy.probes.script import Answer
from prism_edge.errors import ClusterError

LOGIN = {
    "model": identity.MODEL,
    "compatible": identity.COMPATIBLE,
    "tegra-release": identity.TEGRA_RELEASE,
    "l4t-package": identity.L4T_PACKAGE,
    "kernel": identity.KERNEL,
    "system": identity.SYSTEM,
    "id": user.ID,
    "sudo": user.FREE,
    "nvpmodel": power.CONFIGURATION,
    "nvpmodel-status": power.STATUS,
    "clocks": power.CLOCKS,
    "links": interfaces.LINKS,
    "addresses": interfaces.ADDRESSES,
    "wifi": interfaces.WIFI,
    "own-name": interfaces.OWN_NAME,
    "arp": interfaces.ARP,
    "wireguard": wireguard.COMMAND,
    "disk": storage.DISK,
    "memory": storage.MEMORY,
    "swaps": storage.SWAPS,
    "tracking": clock.TRACKING,
    "timedate": clock.TIMEDATE,
    "time-services": clock.ACTIVE,
    "jtop": jetson_stats.SERVICE,
    "jtop-version": jetson_stats.SERVICE_VERSION,
}
ROOT = {
    "nft": firewall.NFT,
    "iptables": firewall.IPTABLES,
    "nvpmodel-query": power.QUERY,
    "tunnels": interfaces.TUNNELS,
    "releases": installed.RELEASES,
    "manifests": installed.MANIFESTS,
    "environments": installed.ENVIRONMENTS,
    "wheels": installed.WHEELS,
    "models": installed.MODELS,
    "profiles": installed.PROFILES,
    "current": installed.CURRENT,
    "previous": installed.PREVIOUS,
    "pending": installed.PENDING,
    "groups": installed.GROUPS,
    "service": installed.SERVICE,
    "mesh-key": installed.MESH_KEY,
    "mesh": installed.MESH,
    "leftovers": installed.LEFTOVERS,
}


def assemble(
    board: str,
    as_login: Mapping[str, Answer],
    as_root: Mapping[str, Answer],
    *,
    torch_said: Answer,
    files: Sequence[str] = (),
    no_root: str | None = None,
    skew: tuple[float, float] | None = None,
) -> Facts:
    """The facts out of what ``LOGIN`` with ``python``, and ``ROOT`` with ``files``, gave.

    ``no_root``: why the latter was not asked as root. ``skew``: of the clock, and its bound. Raises
    ``ClusterError`` when not even uname and id have answered.
    """
    known = identity.kernel(as_login["kernel"].text)
    login = user.login(as_login["id"].text)
    if known is None or login is None:
        raise ClusterError(
            f"board {board}: its shell does not answer uname and id; log in by hand and look"
        )
    who, is_root, groups = login
    return Facts(
        board=board,
        identity=_identity(as_login, *known),
        python=python_probe.facts(as_login["python"].text),
        torch=torch.facts(torch_said),
        power=power.mode(
            as_login["nvpmodel"].text,
            as_login["nvpmodel-status"].text,
            as_root["nvpmodel-query"].text,
            as_login["clocks"].text,
        ),
        network=_network(as_login, as_root, root=no_root is None),
        storage=storage.storage(
            as_login["disk"].text, as_login["memory"].text, as_login["swaps"].text
        ),
        clock=Clock(
            synchronised=clock.synchronised(as_login["tracking"].text, as_login["timedate"].text),
            service=clock.service(as_login["time-services"].text),
            skew_s=skew[0] if skew else None,
            bound_s=skew[1] if skew else None,
        ),
        user=UserFacts(
            name=who,
            groups=groups,
            sudo=user.sudo(
                is_root=is_root,
                free=as_login["sudo"].code == 0,
                root=no_root is None,
                groups=groups,
            ),
            no_root=no_root,
        ),
        jtop=jetson_stats.jtop(
            python_probe.jetson_stats(as_login["python"].text),
            as_login["jtop"].text,
            as_login["jtop-version"].text,
            groups,
        ),
        installed=_installed(as_root, files),
    )


def _identity(said: Mapping[str, Answer], machine: str, kernel: str, hostname: str) -> Identity:
    model = identity.words(said["model"].text)
    release = identity.l4t(said["tegra-release"].text, said["l4t-package"].text)
    return Identity(
        model=model[0] if model else None,
        compatible=identity.words(said["compatible"].text),
        l4t=release,
        jetpack=identity.JETPACK.get(release or ""),
        architecture=machine,
        kernel=kernel,
        system=identity.system(said["system"].text) or "unknown",
        hostname=hostname,
    )


def _network(
    as_login: Mapping[str, Answer], as_root: Mapping[str, Answer], *, root: bool
) -> Network:
    carrier, why = wireguard.wireguard(as_login["wireguard"].text)
    tool, filters = firewall.firewall(as_root["nft"], as_root["iptables"], root=root)
    ignore, announce = interfaces.arp(as_login["arp"].text)
    return Network(
        interfaces=interfaces.interfaces(
            as_login["links"].text,
            as_login["addresses"].text,
            as_login["wifi"].text,
            as_root["tunnels"].text,
        ),
        own_name=interfaces.own_name(as_login["own-name"].text),
        wireguard=carrier,
        wireguard_why=why,
        firewall=tool,
        firewall_active=filters,
        arp_ignore=ignore,
        arp_announce=announce,
    )


def _installed(said: Mapping[str, Answer], files: Sequence[str]) -> Installed:
    active, enabled = installed.service(said["service"].text)
    states = installed.file_states(said["files"].text)
    meshes, up = installed.meshes(said["mesh"].text)
    return Installed(
        releases=installed.names(said["releases"].text),
        manifests=installed.manifests(said["manifests"].text),
        environments=installed.names(said["environments"].text),
        wheels=installed.digests(said["wheels"].text),
        models=installed.names(said["models"].text),
        profiles=installed.digests(said["profiles"].text),
        files={path: states[path] for path in files if path in states},
        current=installed.target(said["current"].text),
        previous=installed.target(said["previous"].text),
        pending=installed.pending(said["pending"].text),
        user=said["groups"].code == 0,
        groups=tuple(said["groups"].text.split()),
        active=active,
        enabled=enabled,
        mesh_key=installed.mesh_key(said["mesh-key"].text),
        mesh_active=up,
        meshes=meshes,
        leftovers=installed.leftovers(said["leftovers"].text),
    )
