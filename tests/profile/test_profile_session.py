"""A session leaves a profile that can be read and resumed, whatever ends it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import checkpoints
import pytest

from prism_edge import tables
from prism_edge.cluster.lab import Lab
from prism_edge.errors import ClusterError, SettingsError, TableError
from prism_edge.profile.session import profile_cluster
from prism_edge.profile.sweep import Wish
from prism_edge.settings import (
    BoardSettings,
    LinkSettings,
    ModelSettings,
    Settings,
    read_settings,
)
from prism_edge.tables import Profile
from prism_edge.tables.log import LOG
from prism_edge.tables.rows import TABLES, identity

QUICK = Wish(batches=(1, 2), ls=(2,), tokens=(12,), quick=True, seed=5)
SMALL = Wish(batches=(1,), ls=(2,), quick=True, seed=5)


class Heard:
    """Progress that may do something when it hears ``text`` begin with ``word``."""

    def __init__(self, word: str = "never", then: Callable[[], None] = lambda: None) -> None:
        self.texts: list[str] = []
        self.starts: set[float] = set()
        self._word, self._then = word, then

    def advance(self, text: str, done: float, total: float, already: float = 0.0) -> None:
        self.texts.append(text)
        self.starts.add(already)
        if text.startswith(self._word):
            self._then()

    def close(self) -> None:
        pass


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


@pytest.fixture(scope="module")
def small(settings: Settings) -> Settings:
    """One board, the image model alone, and no power source to wait for."""
    board = replace(settings.boards[0], power="none")
    return replace(settings, boards=(board,), models=settings.models[:1])


def kill_engine(address: str) -> None:
    """SIGKILL for the engine that this process has started at an address."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "cmdline").read_bytes().decode().split("\0")
            parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
        except OSError:
            continue  # it has just ended
        if address in words and int(parent) == os.getpid():
            os.kill(int(entry.name), signal.SIGKILL)


def raising(error: BaseException) -> Callable[[], None]:
    def do() -> None:
        raise error

    return do


def keys(profile: Profile) -> set[tuple[object, ...]]:
    """What was measured at least; visits beyond the sweep's rounds depend on noise."""
    return {
        (table, *identity(row))
        for table in TABLES
        for row in getattr(profile, table)
        if table != "compute" or row.repeat < 300
    }


@pytest.mark.gloo
def test_a_session_writes_all_that_deciding_needs(settings: Settings, tmp_path: Path) -> None:
    heard = Heard()
    made = profile_cluster(settings, QUICK, tmp_path, progress=heard)
    assert made.stopped is None
    made = made.profile
    assert tables.read(tmp_path) == made
    assert not (tmp_path / LOG).exists()
    assert [board.name for board in made.boards] == ["edge-1", "edge-2"]
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
    assert made.conditions["command"] == "prism-edge profile"
    assert float(made.conditions["load_average_end"]) >= 0
    assert any(text.startswith("emulated (paced)") for text in made.warnings)
    assert any("memory copies" in text for text in made.warnings)
    assert not any("not finished" in text for text in made.warnings)
    for entry in made.models:
        assert tables.applies(made, entry.name, entry.fingerprint, ["edge-1", "edge-2"]) is None
    assert any(text.startswith("compute edge-2") for text in heard.texts)


@pytest.mark.gloo
@pytest.mark.parametrize(
    ("stop", "said"),
    [
        (raising(KeyboardInterrupt()), "interrupted"),
        (lambda: os.kill(os.getpid(), signal.SIGTERM), "interrupted"),
        (lambda: kill_engine("127.77.9.1"), "board edge-1: the engine ended with code -9"),
    ],
    ids=["Ctrl-C", "SIGTERM", "killed"],
)
def test_what_was_finished_is_kept_and_resumed(
    small: Settings, tmp_path: Path, stop: Callable[[], None], said: str
) -> None:
    first = profile_cluster(small, SMALL, tmp_path, progress=Heard("compute", stop))
    assert first.stopped == said
    kept = tables.read(tmp_path)
    assert kept.staging
    assert kept.compute
    assert not kept.request
    assert any(text.startswith("not finished: ") and "--resume" in text for text in kept.warnings)
    assert any(text.startswith(f"not finished: {said}") for text in first.profile.warnings)

    heard = Heard()
    second = profile_cluster(small, SMALL, tmp_path, progress=heard, resume=True)
    assert second.stopped is None
    assert not (tmp_path / LOG).exists()
    whole = tables.read(tmp_path)
    assert whole == second.profile
    assert not any("not finished" in text for text in whole.warnings)
    for table in TABLES:
        assert set(getattr(kept, table)) <= set(getattr(whole, table))
    assert not any(text.startswith("staging edge-1 copy ") for text in heard.texts)
    assert whole.created == kept.created
    assert whole.conditions["runs"] == "2"
    assert float(whole.conditions["seconds"]) >= float(first.profile.conditions["seconds"])

    other = profile_cluster(small, SMALL, tmp_path / "other", progress=Heard()).profile
    assert keys(whole) == keys(other)


@pytest.mark.gloo
def test_a_run_is_not_resumed_as_another_and_not_lost_by_another(
    small: Settings, tmp_path: Path
) -> None:
    stop = raising(KeyboardInterrupt())
    profile_cluster(small, SMALL, tmp_path, progress=Heard("staging", stop))
    log = (tmp_path / LOG).read_bytes()
    with pytest.raises(SettingsError, match=r"a run that has not ended is kept there \(0 of"):
        profile_cluster(small, SMALL, tmp_path, progress=Heard())
    with pytest.raises(TableError, match="the sweep's seed was '5', is '6'; set it back"):
        profile_cluster(small, replace(SMALL, seed=6), tmp_path, progress=Heard(), resume=True)
    assert (tmp_path / LOG).read_bytes() == log


@pytest.mark.gloo
def test_a_whole_profile_outlives_runs_that_end_early(
    settings: Settings, small: Settings, tmp_path: Path
) -> None:
    whole = profile_cluster(small, SMALL, tmp_path, progress=Heard()).profile
    wrong = replace(small, models=(ModelSettings(name="m", path=tmp_path / "nothing"),))
    with pytest.raises(Exception, match="does not exist"):
        profile_cluster(wrong, SMALL, tmp_path, progress=Heard())
    assert tables.read(tmp_path) == whole
    again = profile_cluster(small, SMALL, tmp_path, progress=Heard(), resume=True)
    assert (again.profile, again.stopped) == (whole, None)  # nothing was left to do
    more = (*small.models, replace(small.models[0], name="more"))
    bf16 = (replace(small.boards[0], dtype="bf16"),)
    for other, wish, said in (
        (small, replace(SMALL, batches=(1, 2)), "the sweep's batches was '1', is '1,2'"),
        (replace(small, models=more), SMALL, "model more is new"),
        (replace(small, link=LinkSettings(rate_bps=1e6)), SMALL, "the link was '100mbit, "),
        (replace(small, boards=bf16), SMALL, "board edge-1: dtype was 'fp32', is 'bf16'"),
        (replace(small, boards=settings.boards), SMALL, "boards was 'edge-1', is 'edge-1, edge-2'"),
    ):
        with pytest.raises(TableError, match=said) as refused:
            profile_cluster(other, wish, tmp_path, progress=Heard(), resume=True)
        assert "leave out --resume, or" in str(refused.value)
    assert tables.read(tmp_path) == whole

    stop = raising(KeyboardInterrupt())
    stopped = profile_cluster(small, SMALL, tmp_path, progress=Heard("compute", stop))
    assert stopped.stopped == "interrupted"
    assert any(f"the tables of {whole.created} stay" in text for text in stopped.profile.warnings)
    found = tables.read(tmp_path)
    assert found.compute == whole.compute
    assert "a later run is not finished" in found.warnings[-1]


@pytest.mark.gloo
def test_time_that_is_up_leaves_a_run_to_resume(small: Settings, tmp_path: Path) -> None:
    """However far it came: the end of the time may fall anywhere behind the first cells."""
    wish = replace(SMALL, quick=False)
    found = profile_cluster(small, wish, tmp_path, progress=Heard(), max_seconds=0.001)
    assert found.stopped == "time was up"
    assert found.profile.staging
    resumed = profile_cluster(small, wish, tmp_path, progress=Heard(), resume=True)
    assert resumed.stopped is None
    assert set(found.profile.staging) == set(resumed.profile.staging)
    assert resumed.profile.request


@pytest.mark.gloo
def test_time_that_is_up_when_nothing_is_missing_is_not_said(
    small: Settings, tmp_path: Path
) -> None:
    left = iter([lambda: None, lambda: None, lambda: None, raising(KeyboardInterrupt())])
    heard = Heard("request", lambda: next(left)())  # one is not counted, then one in each round
    found = profile_cluster(small, SMALL, tmp_path, progress=heard)
    assert found.stopped == "interrupted"
    assert len(found.profile.request) == 3
    again = profile_cluster(
        *(small, SMALL, tmp_path), progress=Heard(), resume=True, max_seconds=0.001
    )
    assert again.stopped is None
    assert keys(again.profile) == keys(found.profile)
    assert not (tmp_path / LOG).exists()


@dataclass(frozen=True)
class Cell:
    model: str = "vit"
    batch: int = 1
    tokens_own: int = 17
    tokens_known: int = 17


@pytest.mark.gloo
def test_a_whole_profile_is_refined_while_there_is_doubt(small: Settings, tmp_path: Path) -> None:
    whole = profile_cluster(small, SMALL, tmp_path, progress=Heard()).profile
    accuracy = tables.AccuracyRow(
        model="vit", plan="local", dataset="digits", metric="accuracy", value=0.9, n=100
    )
    tables.write(tmp_path, replace(whole, accuracy=(accuracy,)))
    asked: list[Profile] = []

    def doubts(measured: Profile) -> list[Cell]:
        asked.append(measured)
        return [Cell()] if len(asked) < 3 else []

    found = profile_cluster(
        *(small, SMALL, tmp_path), progress=Heard(), max_seconds=3600, resume=True, doubts=doubts
    )
    assert found.stopped is None
    assert not (tmp_path / LOG).exists()
    refined = tables.read(tmp_path)
    assert refined == found.profile
    assert set(whole.compute) < set(refined.compute) == set(asked[-1].compute)
    assert (refined.staging, refined.request) == (whole.staging, whole.request)
    assert refined.accuracy == (accuracy,)
    more = set(refined.compute) - set(whole.compute)
    assert {(row.batch, row.tokens_own, row.tokens_known) for row in more} == {(1, 17, 17)}

    def none(measured: Profile) -> list[Cell]:
        return []

    again = profile_cluster(
        *(small, SMALL, tmp_path), progress=Heard(), max_seconds=3600, resume=True, doubts=none
    )
    assert again.profile == refined
    assert not (tmp_path / LOG).exists()

    def dies(measured: Profile) -> list[Cell]:
        kill_engine("127.77.9.1")
        return [Cell()]

    with pytest.raises(ClusterError, match="board edge-1: the engine "):
        profile_cluster(
            *(small, SMALL, tmp_path), progress=Heard(), max_seconds=3600, resume=True, doubts=dies
        )
    assert not (tmp_path / LOG).exists()
    assert tables.read(tmp_path) == refined


@pytest.mark.lab
@pytest.mark.gloo
def test_boards_whose_namespaces_vanish_leave_what_was_finished(
    small: Settings, tmp_path: Path
) -> None:
    lab = Lab.up(f"gone-{os.getpid()}", 1, 100e6)
    try:
        settings = replace(read_settings(lab.cluster_toml), models=small.models)
        heard = Heard("compute", lab.down)
        found = profile_cluster(settings, SMALL, tmp_path, progress=heard)
    finally:
        lab.down()
    assert str(found.stopped).startswith("board edge-1: ")
    assert tables.read(tmp_path).staging == found.profile.staging
    assert any("--resume" in text for text in tables.read(tmp_path).warnings)


@pytest.mark.gloo
def test_nothing_measured_leaves_nothing(settings: Settings, tmp_path: Path) -> None:
    wrong = replace(settings, models=(ModelSettings(name="m", path=tmp_path / "nothing"),))
    with pytest.raises(Exception, match="does not exist"):
        profile_cluster(wrong, QUICK, tmp_path / "out", progress=Heard())
    assert not (tmp_path / "out").exists()
