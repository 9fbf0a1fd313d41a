"""``prism-edge deploy inventory``: a cluster as an Ansible inventory, or the other way."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prism_edge.errors import SettingsError

if TYPE_CHECKING:
    from prism_edge.deploy.inventory import Inventory


def inventory(
    cluster: Annotated[Path | None, typer.Option(help="The cluster's settings file.")] = None,
    ansible: Annotated[
        bool, typer.Option("--ansible", help="Print the cluster as an Ansible inventory.")
    ] = False,
    source: Annotated[
        Path | None, typer.Option("--from", help="Print this Ansible inventory as a cluster.toml.")
    ] = None,
    group: Annotated[
        str, typer.Option(help="With --from: its boards; default: prism_edge, else every host.")
    ] = "",
) -> None:
    """Print a cluster as an Ansible inventory, or an Ansible inventory as a cluster.

    Example: prism-edge deploy inventory --cluster cluster.toml --ansible > hosts.yml

    Example: prism-edge deploy inventory --from hosts.yml > cluster.toml
    """
    from prism_edge.deploy.inventory import ansible_inventory, cluster_toml
    from prism_edge.settings import read_settings

    if source is not None and cluster is None and not ansible:
        typer.echo(cluster_toml(_read(source), group), nl=False)
    elif cluster is not None and ansible and source is None and not group:
        typer.echo(ansible_inventory(read_settings(cluster), cluster.resolve()), nl=False)
    else:
        raise SettingsError("expected --cluster FILE --ansible, or --from INVENTORY [--group NAME]")


def _read(path: Path) -> Inventory:
    """Ansible's own reading of ``path``."""
    from prism_edge.deploy.inventory import parse_list

    program = shutil.which("ansible-inventory")
    if program is None:
        raise SettingsError(
            "--from: ansible-inventory reads inventories, and is not here; pip install ansible-core"
        )
    argv = [program, "--inventory", str(path), "--list"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120)
    if done.returncode or not path.exists():
        raise SettingsError(f"{path} cannot be read: {done.stderr.strip()[-500:]}")
    return parse_list(json.loads(done.stdout))
