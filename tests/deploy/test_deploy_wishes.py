"""What lies here for boards: models, tables, the files that all get, and the token, as a secret."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest
from paper_board import bundle, facts, settings

from prism_edge import __version__
from prism_edge.deploy import paths
from prism_edge.deploy.bundle import Bundle
from prism_edge.deploy.facts import PythonFacts
from prism_edge.deploy.push import KEY_TO_COME
from prism_edge.deploy.wishes import Wishes, goods_of, state_directory
from prism_edge.errors import ClusterError, ModelError, SettingsError
from prism_edge.mesh import MeshSettings
from prism_edge.settings import DeploySettings, ModelSettings, ServeSettings, Settings

PROFILE = Path(__file__).parents[2] / "profiles" / "lab"


@pytest.fixture
def cluster(tmp_path: Path) -> Settings:
    (tmp_path / "vit").mkdir()
    (tmp_path / "vit" / "config.json").write_text("{}")
    (tmp_path / "vit" / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "token").write_text("hush\n")
    return settings(
        profiles=tmp_path / "profiles",
        models=(ModelSettings(name="vit", path=tmp_path / "vit"),),
        serve=ServeSettings(token_file=tmp_path / "token"),
    )


def packed(version: str = __version__, python: str = "3.10") -> Bundle:
    return bundle(version=version, python=python, directory=Path(f"/here/{python}"))


def wishes(cluster: Settings, tmp_path: Path, *bundles: Bundle) -> Wishes:
    return Wishes(cluster, bundles, tmp_path / "state", lambda text: None)


def test_boards_get_models_unit_and_what_switches_releases(cluster: Settings) -> None:
    goods = goods_of(cluster)
    assert [model.name for model in goods.models] == ["vit"]
    assert sorted(goods.models[0].files) == ["config.json", "model.safetensors"]
    assert goods.tables == {}
    assert b"ExecStart=" in goods.unit
    files = {file.path: file for file in goods.files}
    assert files[paths.ACTIVATE].mode == 0o755
    assert "/etc/systemd/system/prism-edge-settle.service" in files


def test_the_token_is_for_the_daemon_only(cluster: Settings) -> None:
    (token,) = [file for file in goods_of(cluster).files if file.path == paths.TOKEN]
    assert (token.content, token.mode, token.owner) == (b"hush\n", 0o600, "prism-edge:prism-edge")
    assert token.secret
    assert token.restarts


@pytest.mark.parametrize("content", [None, b" \n"])
def test_a_token_that_is_none_is_refused(cluster: Settings, content: bytes | None) -> None:
    path = cluster.serve.token_file
    assert path is not None
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError, match="is empty" if content else "No such file"):
        goods_of(cluster)


def test_tables_are_sent_when_there_are_some(cluster: Settings) -> None:
    shutil.copytree(PROFILE, cluster.profiles)
    assert "profile.toml" in goods_of(cluster).tables


def test_a_model_that_is_not_here_is_refused(cluster: Settings, tmp_path: Path) -> None:
    gone = dataclasses.replace(cluster, models=(ModelSettings(name="vit", path=tmp_path / "gone"),))
    with pytest.raises(ModelError, match="gone"):
        goods_of(gone)


def test_each_board_takes_the_bundle_that_fits(cluster: Settings, tmp_path: Path) -> None:
    made = wishes(cluster, tmp_path, packed(python="3.12"), packed())
    now = facts()
    wish = made(cluster.boards[0], now, {})
    assert wish.bundle.python == "3.10"
    assert paths.TOKEN in made.files
    assert {file.path for file in wish.files} <= set(made.files)


def test_where_none_fits_the_first_is_said_not_to(cluster: Settings, tmp_path: Path) -> None:
    made = wishes(cluster, tmp_path, packed(python="3.12"), packed(python="3.13"))
    assert made(cluster.boards[0], facts(), {}).bundle.python == "3.12"


def test_for_a_board_that_cannot_be_deployed_to_no_bundle_is_made(
    cluster: Settings, tmp_path: Path
) -> None:
    old = PythonFacts(executable="/usr/bin/python3", version="3.8.10", venv=True)
    with pytest.raises(ClusterError, match=r"board edge-1: Python 3\.8\.10, where"):
        wishes(cluster, tmp_path)(cluster.boards[0], facts(python=old), {})


def test_a_bundle_of_another_version_is_refused(cluster: Settings, tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match=rf"holds prism-edge 9\.9, here it is {__version__}"):
        wishes(cluster, tmp_path, packed(version="9.9"))


def test_every_board_gets_its_own_certificate(cluster: Settings, tmp_path: Path) -> None:
    made = wishes(dataclasses.replace(cluster, deploy=DeploySettings(tls=True)), tmp_path, packed())
    found = [
        {file.path: file for file in made(board, facts(board.name), {}).files}
        for board in cluster.boards
    ]
    assert found[0][paths.AUTHORITY] == found[1][paths.AUTHORITY]
    assert found[0][paths.CERTIFICATE] != found[1][paths.CERTIFICATE]
    assert found[0][paths.CERTIFICATE_KEY].secret
    assert found[0][paths.CERTIFICATE_KEY].mode == 0o600
    assert {paths.CERTIFICATE, paths.CERTIFICATE_KEY, paths.AUTHORITY} <= set(made.files)


def test_a_board_that_is_off_stays_in_the_mesh(cluster: Settings, tmp_path: Path) -> None:
    meshed = dataclasses.replace(cluster, mesh=MeshSettings(subnet="10.99.0.0/24"))
    made = wishes(meshed, tmp_path, packed())

    def conf(keys: dict[str, str]) -> str:
        mesh = made(cluster.boards[0], facts(), keys).mesh
        assert mesh is not None
        return next(f.content for f in mesh.files if f.path.endswith("prism0.conf")).decode()

    assert KEY_TO_COME in conf({"edge-2": KEY_TO_COME})
    assert KEY_TO_COME not in conf({})
    assert "PublicKey = two" in conf({"edge-1": "one", "edge-2": "two"})
    assert "PublicKey = two" in conf({"edge-1": "one"})
    assert "PublicKey = new" in conf({"edge-1": "one", "edge-2": "new"})


def test_two_clusters_of_one_name_share_nothing_here(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    one, other = tmp_path / "one.toml", tmp_path / "other.toml"
    one.touch()
    state = state_directory("home", one)
    assert state == tmp_path / "prism-edge" / "deploy" / "home"
    assert state_directory("home", other).name.startswith("home-")
    assert state_directory("home", one) == state
    one.rename(other)
    assert state_directory("home", other) == state
