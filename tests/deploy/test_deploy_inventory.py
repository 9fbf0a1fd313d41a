"""A cluster becomes an Ansible inventory and comes back as the same boards."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from prism_edge.deploy.inventory import Inventory, ansible_inventory, cluster_toml, parse_list
from prism_edge.errors import SettingsError
from prism_edge.mesh import MeshSettings
from prism_edge.settings import BoardSettings, Settings, read_settings

ANSIBLE = Path(__file__).parents[2] / ".venv-lint/bin"  # made by make setup

BOARDS = (
    BoardSettings(name="edge-1", address="10.0.0.11", ssh="nvidia@10.0.0.11"),
    BoardSettings(name="edge-2", address="10.0.0.12", ssh="nvidia@10.0.0.12:2222", device="cuda"),
    BoardSettings(
        name="edge-3",
        address="fd00::3",
        ssh="[fd00::3]:22",
        power="none",
        dtype="fp16",
        python="/usr/bin/python3.10",
        ssh_config=Path("/home/me/my boards/ssh_config"),
    ),
    BoardSettings(name="edge-4", address="10.0.0.14", ssh="kitchen"),
)
CLUSTER = Settings(
    name="attic",
    leader="edge-2",
    profiles=Path("/home/me/profiles/attic"),
    boards=BOARDS,
    mesh=MeshSettings(subnet="10.99.0.0/24"),
)
FILE = Path("/home/me/cluster.toml")

# What people have: a range of hosts, groups in groups, variables at every level.
INI = """
[cameras]
cam[1:2] ansible_user=root
[cameras:vars]
ansible_port=2200
[all:vars]
ansible_user=nvidia
"""
LISTED: dict[str, Any] = {  # as ansible-inventory prints it
    "_meta": {
        "hostvars": {
            "cam1": {"ansible_host": "10.0.0.1", "ansible_user": "root"},
            "cam2": {"ansible_host": "10.0.0.2"},
        }
    },
    "all": {"children": ["house", "others"]},
    "house": {"children": ["cameras"]},
    "cameras": {"hosts": ["cam1", "cam2"]},
    "others": {"hosts": ["nas", "cam1"]},
}


def read_back(inventory: Inventory, directory: Path, group: str = "") -> Settings:
    path = directory / "back.toml"
    path.write_text(cluster_toml(inventory, group))
    return read_settings(path)


def listed(path: Path) -> Inventory:
    """As Ansible reads it."""
    command = [str(ANSIBLE / "ansible-inventory"), "-i", str(path), "--list"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return parse_list(json.loads(done.stdout))


def run(*words: str, path: str) -> subprocess.CompletedProcess[str]:
    """The verb, with only this PATH to find Ansible on."""
    program = (
        "from prism_edge.cli.deploy_inventory import inventory; import typer; typer.run(inventory)"
    )
    return subprocess.run(
        [sys.executable, "-c", program, *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PATH": path},
    )


@pytest.mark.ansible
def test_boards_come_back_as_they_were_by_ansible_itself(tmp_path: Path) -> None:
    (tmp_path / "hosts.yml").write_text(ansible_inventory(CLUSTER, FILE))
    again = read_back(listed(tmp_path / "hosts.yml"), tmp_path)
    assert (again.name, again.leader, again.boards) == ("attic", "edge-2", BOARDS)


def test_roles_are_told_what_the_file_says() -> None:
    group = yaml.safe_load(ansible_inventory(CLUSTER, FILE))["all"]["children"]["prism_edge"]
    assert group["vars"] | group["hosts"]["edge-2"] == {
        "prism_edge_cluster": "/home/me/cluster.toml",
        "prism_edge_name": "attic",
        "prism_edge_profiles": "/home/me/profiles/attic",
        "prism_edge_port": 8000,
        "prism_edge_mesh_subnet": "10.99.0.0/24",
        "prism_edge_mesh_interface": "prism0",
        "prism_edge_mesh_port": 51820,
        "ansible_host": "10.0.0.12",
        "ansible_user": "nvidia",
        "ansible_port": 2222,
        "prism_edge_address": "10.0.0.12",
        "prism_edge_device": "cuda",
    }


def test_a_board_that_ssh_cannot_reach_is_named() -> None:
    lonely = replace(CLUSTER, boards=(BOARDS[1], BoardSettings(name="edge-9", address="10.0.0.19")))
    with pytest.raises(SettingsError, match=r"edge-9: no ssh; .* ssh = \"user@host\""):
        ansible_inventory(lonely, FILE)


@pytest.mark.parametrize(
    ("group", "names"), [("", ["cam1", "cam2", "nas"]), ("house", ["cam1", "cam2"])]
)
def test_a_group_can_be_chosen(group: str, names: list[str], tmp_path: Path) -> None:
    again = read_back(parse_list(LISTED), tmp_path, group)
    assert [board.name for board in again.boards] == names
    assert again.leader == "cam1"
    assert again.boards[1].address == "10.0.0.2"


@pytest.mark.parametrize(
    ("document", "group", "message"),
    [
        (LISTED, "hose", "no group 'hose' \\(known: all, house, cameras, others\\)"),
        ({"all": {}}, "", "names no hosts"),
        (
            {
                "_meta": {"hostvars": {"a": {"ansible_host": "{{ x }}"}}},
                "all": {"hosts": ["a"]},
            },
            "",
            "ansible_host is .* write the",
        ),
    ],
)
def test_what_no_cluster_can_be_made_of_is_told(
    document: dict[str, Any], group: str, message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        cluster_toml(parse_list(document), group)


@pytest.mark.ansible
def test_the_verb_reads_what_ansible_can(tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text(INI)
    done = run("--from", str(tmp_path / "hosts"), path=str(ANSIBLE))
    assert done.returncode == 0, done.stderr
    (tmp_path / "cluster.toml").write_text(done.stdout)
    boards = read_settings(tmp_path / "cluster.toml").boards
    assert [board.ssh for board in boards] == ["root@cam1:2200", "root@cam2:2200"]


def test_the_verb_says_what_it_cannot_read_without_ansible(tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text(INI)
    done = run("--from", str(tmp_path / "hosts"), path="/nowhere")
    assert done.returncode != 0
    assert "pip install ansible-core" in done.stderr


@pytest.mark.parametrize("words", [(), ("--ansible",), ("--cluster", "c", "--from", "h")])
def test_the_verb_wants_one_direction(words: tuple[str, ...]) -> None:
    assert "expected --cluster FILE --ansible, or --from" in run(*words, path="/nowhere").stderr
