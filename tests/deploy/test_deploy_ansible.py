"""The roles use the places and files that deploy uses, and its settings' defaults."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from prism_edge.deploy import paths
from prism_edge.mesh import MeshSettings
from prism_edge.settings import ServeSettings

ROOT = Path(__file__).parents[2]
ROLES = ROOT / "ansible" / "roles"
DEPLOY = ROOT / "deploy"


def read(path: str) -> Any:
    return yaml.safe_load((ROLES / path).read_text(encoding="utf-8"))


def texts() -> dict[str, str]:
    """Every YAML file of the roles and playbooks."""
    return {
        str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
        for path in sorted((ROOT / "ansible").rglob("*.yml"))
    }


def test_places_are_those_of_deploy() -> None:
    assert read("prepare/vars/main.yml") == {"prepare_etc": paths.ETC}
    assert read("remove/vars/main.yml") == {"remove_etc": paths.ETC}
    unit = (DEPLOY / "prism-edge-firewall.service").read_text(encoding="utf-8")
    assert set(re.findall(r"/etc/prism-edge\S*", unit)) >= {f"{paths.ETC}/board.nft"}


def test_no_place_of_ours_is_written_out() -> None:
    for name, text in texts().items():
        for place in (paths.ROOT, paths.ETC, paths.STATE):
            if not name.endswith("/vars/main.yml"):
                assert place not in text, f"{name} names {place}"


def test_defaults_are_those_of_the_settings() -> None:
    defaults = read("prepare/defaults/main.yml")
    for name, value in (
        ("prepare_control_port", ServeSettings().port),
        ("prepare_mesh_interface", MeshSettings().interface),
        ("prepare_mesh_port", MeshSettings().port),
    ):
        (default,) = re.findall(r"default\('?([^')]+)'?\)", defaults[name])
        assert default == str(value), name


def test_every_file_that_is_laid_lies_in_deploy() -> None:
    laid = {
        re.sub(r"\{\{.*\}\}", "*", name)
        for text in texts().values()
        for name in re.findall(r'src: "\{\{ prepare_files \}\}/([^"]+)"', text)
    }
    assert {"board.nft.j2", "arp.conf", "chrony-*.conf.j2"} < laid
    assert [name for name in laid if not list(DEPLOY.glob(name))] == []
    assert [path for path in ROLES.rglob("*") if path.name in ("files", "templates")] == []


def test_every_option_of_prepare_is_described_and_has_an_example() -> None:
    described = set(read("prepare/meta/argument_specs.yml")["argument_specs"]["main"]["options"])
    defaults = set(read("prepare/defaults/main.yml"))
    assert defaults - described == {"prepare_own"}
    assert described <= defaults
    example = (ROOT / "ansible/group_vars/prism_edge.example.yml").read_text(encoding="utf-8")
    named = set(re.findall(r"^(?:# )?(prepare_\w+):", example, re.MULTILINE))
    assert named <= described


@pytest.mark.parametrize("path", sorted(DEPLOY.iterdir()), ids=lambda path: path.name)
def test_every_file_says_what_it_does_and_is_listed(path: Path) -> None:
    if path.name == "README.md":
        return
    head = path.read_text(encoding="utf-8").splitlines()[:3]
    assert any(re.match(r'#(?!!) ?\S|  "description": ', line) for line in head), head
    listed = (DEPLOY / "README.md").read_text(encoding="utf-8")
    assert f"`{path.name}`" in listed, f"deploy/README.md has no row for {path.name}"
