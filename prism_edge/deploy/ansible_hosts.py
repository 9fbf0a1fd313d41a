"""An Ansible inventory as hosts with all their variables: Ansible's JSON, or plain YAML. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import yaml

from prism_edge.errors import SettingsError

Variables: TypeAlias = Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """Hosts with what they and their groups say; ``groups``: their hosts, children's included."""

    hosts: Mapping[str, Variables]
    groups: Mapping[str, tuple[str, ...]]


def parse_list(document: object) -> Inventory:
    """What ``ansible-inventory --list`` printed as JSON."""
    tree = _table("the inventory", document)
    variables = _table("hostvars", _table("_meta", tree.pop("_meta", None)).get("hostvars"))
    found = {name: _table(f"group {name}", value) for name, value in tree.items()}
    children = {name: list(group.get("children", ())) for name, group in found.items()}
    groups = {
        name: tuple(
            dict.fromkeys(
                host
                for below in _descent(name, children)
                for host in found.get(below, {}).get("hosts", ())
            )
        )
        for name in found
    }
    names = dict.fromkeys(host for members in groups.values() for host in members)
    hosts = {name: _table(f"host {name}", variables.get(name)) for name in names}
    return Inventory(hosts=hosts, groups=groups)


def parse_yaml(text: str) -> Inventory:
    """A YAML inventory, read as Ansible does: a host's own variables win over its groups', and a
    group's over those of the groups above it; between groups of one depth the later name wins."""
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SettingsError(f"this is no YAML: {error}") from error
    groups: dict[str, _Group] = {"all": _Group()}
    own: dict[str, dict[str, object]] = {}
    for name, value in _table("the inventory", document).items():
        if name != "all":
            groups["all"].children[name] = None
        _collect(name, value, 0 if name == "all" else 1, groups, own)
    children = {name: list(group.children) for name, group in groups.items()}
    members = {
        name: {host: None for below in _descent(name, children) for host in groups[below].hosts}
        for name in groups
    }
    hosts = {}
    for host, said in own.items():
        above = [name for name in groups if host in members[name]]
        hosts[host] = {
            key: value
            for name in sorted(above, key=lambda name: (groups[name].depth, name))
            for key, value in groups[name].variables.items()
        } | said
    return Inventory(hosts=hosts, groups={name: tuple(held) for name, held in members.items()})


@dataclass(slots=True)
class _Group:
    """A group as far as it has been read; the names are in their order."""

    depth: int = 0
    variables: dict[str, object] = field(default_factory=dict)
    hosts: dict[str, None] = field(default_factory=dict)
    children: dict[str, None] = field(default_factory=dict)


def _collect(
    name: str,
    value: object,
    depth: int,
    groups: dict[str, _Group],
    own: dict[str, dict[str, object]],
) -> None:
    """``groups`` and ``own`` hold the group, all below it, and what their hosts say themselves."""
    table = _table(f"group {name}", value)
    group = groups.setdefault(name, _Group())
    group.depth = max(group.depth, depth)
    group.variables |= _table(f"group {name}: vars", table.get("vars"))
    for host, said in _table(f"group {name}: hosts", table.get("hosts")).items():
        if "[" in host:
            raise SettingsError(
                f"group {name}: {host!r} stands for several hosts; install ansible-core to read "
                f"it, or write each host by its name"
            )
        group.hosts[host] = None
        own.setdefault(host, {}).update(_table(f"host {host}", said))
    for child, members in _table(f"group {name}: children", table.get("children")).items():
        group.children[child] = None
        _collect(child, members, depth + 1, groups, own)


def _descent(name: str, children: Mapping[str, list[str]]) -> list[str]:
    """The group and all groups below it."""
    return [name, *(low for child in children.get(name, ()) for low in _descent(child, children))]


def _table(what: str, value: object) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise SettingsError(f"{what}: expected names and values, found {str(value)[:80]!r}")
    return {str(key): item for key, item in value.items()}
