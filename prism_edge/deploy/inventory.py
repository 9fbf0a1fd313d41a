"""The Ansible inventory of a cluster, and the cluster of an Ansible inventory. Pure."""

from __future__ import annotations

import ipaddress
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import tomli_w
import yaml

from prism_edge.errors import SettingsError
from prism_edge.settings import SSH, BoardSettings, Settings

GROUP, LEADER = "prism_edge", "prism_edge_leader"
_DEFAULTS = BoardSettings(name="board", address="address")
# of a board, where they are not the default
_KEPT = ("power", "power_source", "power_total", "device", "dtype", "python")

Variables: TypeAlias = Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """Hosts with what they and their groups say; ``groups``: their hosts, children's included."""

    hosts: Mapping[str, Variables]
    groups: Mapping[str, tuple[str, ...]]


def parse_list(document: Mapping[str, Any]) -> Inventory:
    """What ``ansible-inventory --list`` printed as JSON."""
    tree = {name: group for name, group in document.items() if name != "_meta"}

    def below(name: str) -> list[str]:
        group = tree.get(name, {})
        nested = [host for child in group.get("children", ()) for host in below(child)]
        return list(dict.fromkeys([*group.get("hosts", ()), *nested]))

    groups = {name: tuple(below(name)) for name in tree}
    variables = document.get("_meta", {}).get("hostvars", {})
    hosts = {host: variables.get(host, {}) for hosts in groups.values() for host in hosts}
    return Inventory(hosts=hosts, groups=groups)


def ansible_inventory(settings: Settings, cluster_file: Path) -> str:
    """The inventory in YAML: the boards in their order, how SSH reaches them, and who leads.

    ``cluster_file``: what the roles hand to ``prism-edge``. Raises ``SettingsError`` for a board
    that does not say how SSH reaches it.
    """
    group = {
        "vars": {
            "prism_edge_cluster": str(cluster_file),
            "prism_edge_name": settings.name,
            "prism_edge_profiles": str(settings.profiles),
            "prism_edge_port": settings.serve.port,
            "prism_edge_mesh_subnet": settings.mesh.subnet,
            "prism_edge_mesh_interface": settings.mesh.interface,
            "prism_edge_mesh_port": settings.mesh.port,
        },
        "hosts": {board.name: _host(board) for board in settings.boards},
        "children": {LEADER: {"hosts": {settings.leader: {}}}},
    }
    text: str = yaml.safe_dump({"all": {"children": {GROUP: group}}}, sort_keys=False)
    return text


def cluster_toml(inventory: Inventory, group: str = "") -> str:
    """The cluster's file: the hosts of ``group``; or of prism_edge, if there is one; or all.

    Raises ``SettingsError`` for a group that is not there and a host that no board can be made of.
    """
    if group and group not in inventory.groups:
        known = ", ".join(inventory.groups) or "none"
        raise SettingsError(f"the inventory has no group {group!r} (known: {known})")
    names = inventory.groups.get(group or GROUP, tuple(inventory.hosts))
    if not names:
        raise SettingsError("the inventory names no hosts; each is to become a board")
    leaders = [name for name in inventory.groups.get(LEADER, ()) if name in names]
    cluster = {
        "name": inventory.hosts[names[0]].get("prism_edge_name", "cluster"),
        "leader": (leaders or names)[0],
    }
    boards = [_board(name, inventory.hosts[name]) for name in names]
    return tomli_w.dumps({"cluster": cluster, "boards": boards})


def _host(board: BoardSettings) -> dict[str, object]:
    target = SSH.fullmatch(board.ssh)
    if target is None:
        raise SettingsError(
            f'board {board.name}: no ssh; say in cluster.toml how it is reached, ssh = "user@host"'
        )
    user, _, host = target["login"].rpartition("@")
    values: dict[str, object] = {"ansible_host": host.strip("[]")}
    if user:
        values["ansible_user"] = user
    if target["port"]:
        values["ansible_port"] = int(target["port"])
    if board.ssh_config is not None:
        values["ansible_ssh_common_args"] = f"-F {shlex.quote(str(board.ssh_config))}"
    values["prism_edge_address"] = board.address
    for key in _KEPT:
        if getattr(board, key) != getattr(_DEFAULTS, key):
            values[f"prism_edge_{key}"] = getattr(board, key)
    return values


def _board(name: str, variables: Variables) -> dict[str, object]:
    host = _text(name, variables, "ansible_host", "ansible_ssh_host") or name
    user = _text(name, variables, "ansible_user", "ansible_ssh_user")
    port = _text(name, variables, "ansible_port", "ansible_ssh_port")
    board: dict[str, object] = {
        "name": name,
        "address": _text(name, variables, "prism_edge_address") or host,
        "ssh": "".join((f"{user}@" if user else "", _bracketed(host), f":{port}" if port else "")),
    }
    words = shlex.split(_text(name, variables, "ansible_ssh_common_args"))
    if "-F" in words[:-1]:
        board["ssh_config"] = words[words.index("-F") + 1]
    for key in _KEPT:
        if value := _text(name, variables, f"prism_edge_{key}"):
            board[key] = value
    return board


def _text(host: str, variables: Variables, *keys: str) -> str:
    """The first of these variables that is set, as text; empty: none is."""
    value = next((str(variables[key]) for key in keys if variables.get(key) is not None), "")
    if "{{" in value:
        raise SettingsError(
            f"host {host}: {keys[0]} is {value!r}, which only a play can work out; write the value"
        )
    return value


def _bracketed(host: str) -> str:
    """An IPv6 address in the brackets that keep it apart from a port."""
    try:
        return f"[{host}]" if ipaddress.ip_address(host).version == 6 else host
    except ValueError:  # a name
        return host
