"""What bundle boards want, from what they say; and where it is kept."""

from __future__ import annotations

import platform
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import paper_board
import pytest
from little_index import fill, only

from prism_edge.deploy.bundle_for import ask, bundle_for, target_of
from prism_edge.deploy.facts import Facts, PythonFacts, TorchFacts
from prism_edge.deploy.here import Here
from prism_edge.deploy.target import Target
from prism_edge.errors import ClusterError
from prism_edge.settings import BoardSettings

PINS = {"torch": "2.5.0a0+872d972e41.nv24.8", "numpy": "1.26.4"}


def facts(board: str, python: str | None = "3.10.12", **pins: str) -> Facts:
    """A board as far as a bundle asks."""
    has = PythonFacts(executable="/usr/bin/python3", version=python, venv=True) if python else None
    torch = TorchFacts(version=pins.get("torch"), pins=pins)
    return paper_board.facts(board, python=has, torch=torch)


def test_boards_alike_have_one_target() -> None:
    found = target_of([facts("edge-1", **PINS), facts("edge-2", "3.10.14", **PINS)])
    assert found == Target(python="3.10", machine="aarch64", pins=PINS)


def test_torch_can_be_brought_along() -> None:
    boards = [facts("edge-1", numpy="1.26.4"), facts("edge-2", **PINS)]
    assert target_of(boards, "2.13.0") == Target(python="3.10", machine="aarch64", torch="2.13.0")


@pytest.mark.parametrize(
    ("boards", "message"),
    [
        (
            [facts("edge-1", **PINS), facts("edge-2", "3.12.3", **PINS)],
            "boards edge-1 and edge-2 need a bundle each: Python 3.10, .* Python 3.12, .*--limit",
        ),
        (
            [facts("edge-1", **PINS), facts("edge-2", **PINS | {"numpy": "1.26.5"})],
            "need a bundle each: .*numpy 1.26.4 there, .*numpy 1.26.5 here",
        ),
        ([facts("edge-1")], "board edge-1: has no torch of its own; .*--torch torch==VERSION"),
        ([facts("edge-1", None)], "board edge-1: has no Python 3.10 or later"),
    ],
)
def test_what_one_bundle_cannot_serve_is_refused(boards: list[Facts], message: str) -> None:
    with pytest.raises(ClusterError, match=message):
        target_of(boards)


@pytest.mark.slow
def test_boards_are_asked() -> None:
    """This machine, as two boards; without a torch of its own it can still be brought one."""
    boards = [BoardSettings(name=name, address="127.0.0.1", python=sys.executable) for name in "ab"]
    try:
        own, brought = version("torch"), None
    except PackageNotFoundError:
        own, brought = None, "2.13.0"
    found = ask(boards, lambda board: nullcontext(Here(name=board.name)), brought)
    assert found.python == f"3.{sys.version_info[1]}"
    assert found.machine == platform.machine()
    assert (found.pins.get("torch"), found.torch) == (own, brought)


def test_the_cache_has_one_bundle_per_target(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when threads want it at once, as boards do."""
    fill(tmp_path / "index", tmp_path / "own")
    only(monkeypatch, tmp_path / "index")
    told: list[str] = []
    cache = tmp_path / "cache"

    def made(python: str) -> str:
        target = Target(python=python, machine="aarch64", pins=PINS)
        return bundle_for(target, cache, told.append).python

    wanted = ["3.10", "3.12", "3.10"]
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(made, wanted)) == wanted
    assert len([path for path in cache.iterdir() if path.is_dir()]) == 2
    assert sum(line.startswith("asking pip") for line in told) == 2


def test_a_cache_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ClusterError, match="file/cache: cannot be written: Not a directory"):
        bundle_for(
            Target(python="3.10", machine="aarch64", pins=PINS), tmp_path / "file/cache", print
        )
