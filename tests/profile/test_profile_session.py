"""A session leaves tables that can be read, whether it ends, is interrupted, or loses a board."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import checkpoints
import pytest

from prism_edge import tables
from prism_edge.errors import ClusterError, TableError
from prism_edge.profile.measured import Measured
from prism_edge.profile.session import describe_wish, emulation_warning, profile_cluster
from prism_edge.profile.sweep import Wish
from prism_edge.settings import BoardSettings, LinkSettings, ModelSettings, Settings
from prism_edge.tables import ComputeRow

QUICK = Wish(batches=(1, 2), ls=(2,), tokens=(12,), quick=True, seed=5)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Two boards on loopback, one image and one text model."""
    root = tmp_path_factory.mktemp("cluster")
    return Settings(
        name="two",
        kind="paced",
        leader="edge-1",
        profiles=root / "profiles",
        boards=(
            BoardSettings(name="edge-1", address="127.77.9.1", power="modelled"),
            BoardSettings(name="edge-2", address="127.77.9.2", power="none"),
        ),
        models=(
            ModelSettings(name="vit", path=checkpoints.write(root / "v", *checkpoints.vit())),
            ModelSettings(name="gpt2", path=checkpoints.write(root / "g", *checkpoints.gpt2())),
        ),
        link=LinkSettings(rate_bps=100e6),
    )


@pytest.mark.gloo
def test_a_session_writes_all_that_deciding_needs(settings: Settings, tmp_path: Path) -> None:
    heard: list[str] = []
    made = profile_cluster(
        settings, QUICK, tmp_path, max_seconds=None, tell=lambda m, total: heard.append(m.text)
    )
    assert tables.read(tmp_path) == made
    assert [board.name for board in made.boards] == ["edge-1", "edge-2"]
    assert [board.power for board in made.boards] == ["modelled", "none"]
    assert all(board.facts["cores"] == "1" for board in made.boards)
    assert all("torch" in board.facts for board in made.boards)
    assert [(model.name, model.shape.family) for model in made.models] == [
        ("vit", "vit"),
        ("gpt2", "gpt2"),
    ]
    measured = {(row.board, row.model, row.tokens_own, row.tokens_known) for row in made.compute}
    assert {
        ("edge-1", "vit", 17, 17),
        ("edge-1", "vit", 9, 11),
        ("edge-2", "vit", 8, 10),
        ("edge-1", "gpt2", 12, 12),
        ("edge-1", "gpt2", 6, 8),  # causal: the leader owns the last part and hears all others
        ("edge-2", "gpt2", 6, 6),
    } <= measured
    assert {row.op for row in made.link} == {"exchange", "oneway"}
    assert {row.path for row in made.staging} == {"copy"}
    assert {(row.model, row.plan) for row in made.request} >= {
        ("vit", "split:p=2"),
        ("gpt2", "prism:p=2,l=2,dtype=fp16"),
    }
    assert made.sweep["seed"] == "5"
    assert made.link_description.startswith("100mbit, paced")
    assert float(made.conditions["load_average_end"]) >= 0
    assert any(text.startswith("emulated (paced)") for text in made.warnings)
    assert any("memory copies" in text for text in made.warnings)
    assert not any("not finished" in text for text in made.warnings)
    for entry in made.models:
        assert tables.applies(made, entry.name, entry.fingerprint, ["edge-1", "edge-2"]) is None
    assert any(text.startswith("compute edge-2") for text in heard)


@pytest.mark.gloo
@pytest.mark.parametrize(
    ("stop", "expected"),
    [
        (KeyboardInterrupt(), "not finished: interrupted"),
        (ClusterError("board edge-2: ended"), "not finished: board edge-2: ended"),
    ],
)
def test_what_was_finished_is_kept(
    settings: Settings, tmp_path: Path, stop: BaseException, expected: str
) -> None:
    def tell(measured: Measured, total: float) -> None:
        if any(isinstance(row, ComputeRow) for row in measured.rows):
            raise stop

    one = replace(settings, models=settings.models[:1])
    with pytest.raises(type(stop)):
        profile_cluster(one, QUICK, tmp_path, max_seconds=None, tell=tell)
    kept = tables.read(tmp_path)
    assert kept.link
    assert kept.compute
    assert not kept.request
    assert kept.warnings[-1] == expected


@pytest.mark.gloo
def test_nothing_measured_leaves_an_older_profile_alone(settings: Settings, tmp_path: Path) -> None:
    def tell(measured: Measured, total: float) -> None:
        raise AssertionError("nothing should be measured")

    wrong = replace(settings, models=(ModelSettings(name="m", path=tmp_path / "nothing"),))
    with pytest.raises(Exception, match="does not exist"):
        profile_cluster(wrong, QUICK, tmp_path / "out", max_seconds=None, tell=tell)
    with pytest.raises(TableError, match="no such file"):
        tables.read(tmp_path / "out")


def test_a_wish_is_kept_as_text() -> None:
    assert describe_wish(QUICK) == {
        "batches": "1,2",
        "l": "2",
        "tokens": "12",
        "quick": "true",
        "seed": "5",
    }
    assert describe_wish(Wish())["tokens"] == "usual"


def test_only_boards_are_not_emulated(settings: Settings) -> None:
    assert "emulated (paced)" in str(emulation_warning(settings))
    assert "emulated (lab)" in str(emulation_warning(replace(settings, kind="lab")))
    assert emulation_warning(replace(settings, kind="boards")) is None
