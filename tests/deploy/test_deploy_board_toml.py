"""What a board is given reads back as the same cluster, with the places that things have there."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from prism_edge.deploy import paths
from prism_edge.deploy.board_toml import on_board, toml_of
from prism_edge.settings import (
    BoardSettings,
    DeploySettings,
    LinkSettings,
    ModelSettings,
    PolicySettings,
    ServeSettings,
    Settings,
    read_settings,
)

DIGEST = "0123456789abcdef" * 4
NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=12)


def cluster(**changes: object) -> Settings:
    boards = tuple(
        BoardSettings(
            name=f"edge-{n}",
            address=f"10.0.0.{10 + n}",
            ssh=f"nvidia@10.0.0.{10 + n}",
            python="/usr/bin/python3.10",
            device="cuda",
        )
        for n in (1, 2)
    )
    known = Settings(
        name="home",
        leader="edge-2",
        profiles=Path("/here/profiles"),
        boards=boards,
        models=(ModelSettings(name="vit", path=Path("/here/models/vit")),),
        serve=ServeSettings(token_file=Path("/here/token")),
    )
    return dataclasses.replace(known, **changes)  # type: ignore[arg-type]


def read_back(settings: Settings, directory: Path) -> Settings:
    path = directory / "cluster.toml"
    path.write_text(toml_of(settings), encoding="utf-8")
    return read_settings(path)


def test_a_board_reads_the_same_cluster(tmp_path: Path) -> None:
    there = on_board(cluster(), {"vit": DIGEST})
    assert read_back(there, tmp_path) == there
    assert there.leader == "edge-2"
    assert [board.device for board in there.boards] == ["cuda", "cuda"]


def test_paths_are_those_of_the_board() -> None:
    there = on_board(cluster(), {"vit": DIGEST})
    assert there.models[0].path == Path("/var/lib/prism-edge/models/vit-0123456789ab")
    assert there.profiles == Path("/var/lib/prism-edge/profiles/home")
    assert there.serve.token_file == Path(paths.TOKEN)
    assert "/here" not in toml_of(there)


def test_nothing_of_how_a_board_is_reached_from_here_is_told() -> None:
    text = toml_of(on_board(cluster(), {"vit": DIGEST}))
    assert "ssh" not in text
    assert "python" not in text


def test_certificates_are_named_when_deploy_makes_them() -> None:
    there = on_board(cluster(deploy=DeploySettings(tls=True)), {"vit": DIGEST})
    assert there.serve.certificate == Path(paths.CERTIFICATE)
    assert there.serve.certificate_key == Path(paths.CERTIFICATE_KEY)
    assert there.serve.authority == Path(paths.AUTHORITY)
    assert there.deploy == DeploySettings()
    plain = on_board(cluster(serve=ServeSettings()), {"vit": DIGEST})
    assert plain.serve == ServeSettings()


@given(
    name=NAMES,
    drop=st.floats(0, allow_infinity=True, allow_nan=False),
    rate=st.none() | st.floats(1, 1e12),
    port=st.integers(1, 65535),
    exact=st.booleans(),
)
def test_every_value_survives(
    name: str, drop: float, rate: float | None, port: int, exact: bool, tmp_path_factory: object
) -> None:
    directory = tmp_path_factory.mktemp("toml")  # type: ignore[attr-defined]
    settings = on_board(
        cluster(
            name=name,
            policy=PolicySettings(max_accuracy_drop=drop, exact=exact),
            link=LinkSettings(rate_bps=rate),
            serve=ServeSettings(port=port),
        ),
        {"vit": DIGEST},
    )
    assert read_back(settings, directory) == settings


def test_the_default_accuracy_is_left_out() -> None:
    assert math.inf == PolicySettings().max_accuracy_drop
    assert "policy" not in toml_of(on_board(cluster(), {"vit": DIGEST}))
