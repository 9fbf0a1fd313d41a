"""Bundles are made by the real pip, from a folder of tiny wheels."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from little_index import fill, only, write

from prism_edge.deploy.bundle import Bundle, read_bundle, write_bundle
from prism_edge.deploy.make_bundle import make_bundle
from prism_edge.deploy.target import Target
from prism_edge.errors import ClusterError

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
TORCH = "2.5.0a0+872d972e41.nv24.8"
ORIN = Target(python="3.10", machine="aarch64", pins={"torch": TORCH, "numpy": "1.26.4"})


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """All that prism-edge needs; pandas asks for numpy, safetensors for what only some need."""
    directory = tmp_path / "index"
    fill(
        directory,
        tmp_path / "own",
        pandas=("numpy>=1.22; python_version < '3.11'", "numpy>=2; python_version >= '3.12'"),
        safetensors=(
            "exceptiongroup; python_version < '3.11'",
            "nvidia-x; platform_machine == 'x86_64'",
        ),
        exceptiongroup=(),
    )
    only(monkeypatch, directory)
    return directory


def versions(bundle: Bundle) -> dict[str, str]:
    return {wheel.name: wheel.version for wheel in bundle.wheels.values()}


def test_a_bundle_for_another_python_and_machine(index: Path, tmp_path: Path) -> None:
    """What this Python and this machine would need is not asked: 3.10 wants tomli and
    exceptiongroup, and no aarch64 wants nvidia-x, which the index does not even have."""
    made = make_bundle(ORIN, tmp_path / "out")
    found = versions(made)
    assert {"prism-edge", "tomli", "exceptiongroup", "pandas", "transformers"} <= set(found)
    assert not {"nvidia-x", "torch", "numpy"} & set(found)
    assert found["transformers"] == "5.14.0"  # the newest for torch 2.5
    assert read_bundle(tmp_path / "out") == made
    assert not any(map(made.problem, made.wheels))
    wheels = {path.name for path in (tmp_path / "out/wheels").iterdir()}
    assert wheels == set(made.wheels)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"bundle.json", "wheels"}
    assert {path.name for path in tmp_path.iterdir()} == {"index", "own", "out"}


def test_a_bundle_that_brings_torch(index: Path, tmp_path: Path) -> None:
    write(index, "torch", "2.13.0")
    target = Target(python="3.12", machine="aarch64", torch="2.13.0")
    found = versions(make_bundle(target, tmp_path / "out"))
    assert found["torch"] == "2.13.0"
    assert found["numpy"] == "99"
    assert found["transformers"] == "5.20.0"
    assert not {"tomli", "exceptiongroup"} & set(found)


@pytest.mark.parametrize("own", ["as it was", "another"])
def test_a_second_call_asks_no_index(own: str, index: Path, tmp_path: Path) -> None:
    first = make_bundle(ORIN, tmp_path / "out")
    for path in index.iterdir():
        path.unlink()
    if own == "another":
        first.local(first.own).path.write_bytes(b"of yesterday")
    told: list[str] = []
    second = make_bundle(ORIN, tmp_path / "out", tell=told.append)
    assert second.third_party == first.third_party
    assert "there already" in told[0]
    assert not any(map(second.problem, second.wheels))


def test_a_damaged_wheel_is_fetched_again_and_the_others_stay(index: Path, tmp_path: Path) -> None:
    first = make_bundle(ORIN, tmp_path / "out")
    for version in ("100", "101"):
        write(index, "rich", version)
    (tmp_path / "out/wheels/typer-99-py3-none-any.whl").write_bytes(b"torn")
    for path in index.glob("pandas-*"):
        path.unlink()  # only the bundle has it
    second = make_bundle(ORIN, tmp_path / "out")
    assert not any(map(second.problem, second.wheels))
    assert versions(second) == {**versions(first), "rich": "101"}


def test_another_target_in_the_same_place(index: Path, tmp_path: Path) -> None:
    make_bundle(ORIN, tmp_path / "out")
    old = Target(python="3.10", machine="aarch64", pins={"torch": "2.4.0a0+1.nv24.5"})
    found = versions(make_bundle(old, tmp_path / "out"))
    assert found["transformers"] == "4.57.6"
    assert found["numpy"] == "99"
    assert "numpy" not in versions(make_bundle(ORIN, tmp_path / "out"))


def test_wheels_of_another_machine_are_not_used_again(index: Path, tmp_path: Path) -> None:
    """One of them is for aarch64 only; by its name and version it would do."""
    path = write(index, "rich", "99")
    path.rename(index / "rich-99-cp310-cp310-linux_aarch64.whl")
    make_bundle(ORIN, tmp_path / "out")
    other = Target(python="3.10", machine="x86_64", pins=ORIN.pins)
    with pytest.raises(ClusterError, match="rich"):
        make_bundle(other, tmp_path / "out")


def test_what_nobody_needs_any_more_is_dropped(index: Path, tmp_path: Path) -> None:
    first = make_bundle(ORIN, tmp_path / "out")
    path = write(tmp_path / "out/wheels", "leftover", "1")
    left = dataclasses.replace(
        next(iter(first.wheels.values())),
        name="leftover",
        version="1",
        bytes=path.stat().st_size,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
    )
    there = dataclasses.replace(first, wheels={**first.wheels, path.name: left})
    write_bundle(there, tmp_path / "out")
    there.local(there.own).path.write_bytes(b"of yesterday")
    assert make_bundle(ORIN, tmp_path / "out").third_party == first.third_party
    assert not path.exists()


def test_find_links_bring_what_the_index_lacks(index: Path, tmp_path: Path) -> None:
    more = tmp_path / "more"
    write(more, "rich", "100")
    made = make_bundle(ORIN, tmp_path / "out", find_links=[more])
    assert versions(made)["rich"] == "100"
    write(more, "rich", "101")
    assert versions(make_bundle(ORIN, tmp_path / "out", find_links=[more]))["rich"] == "101"


def remove_rich(index: Path) -> None:
    (index / "rich-99-py3-none-any.whl").unlink()


def want_newer_torch(index: Path) -> None:
    write(index, "pandas", "99", ["torch>=2.5"])


def want_newer_numpy(index: Path) -> None:
    write(index, "pandas", "99", ["numpy>=2"])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (remove_rich, r"Python 3.10 on aarch64:\n.*(?s:.*)rich(?s:.*)--find-links"),
        (want_newer_torch, r"torch>=2.5"),
        (want_newer_numpy, r"numpy>=2"),
    ],
)
def test_what_cannot_be_is_an_error_and_leaves_nothing(
    index: Path, tmp_path: Path, spoil: Callable[[Path], None], message: str
) -> None:
    """Control for the constraints: there is a torch 99 that would do, and it is not taken."""
    spoil(index)
    with pytest.raises(ClusterError, match="no wheels for") as caught:
        make_bundle(ORIN, tmp_path / "out")
    assert {path.name for path in tmp_path.iterdir()} == {"index", "own"}
    text = str(caught.value)
    assert re.search(message, text), text


def test_an_index_that_is_not_reached_is_told(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")  # nobody listens there
    monkeypatch.setenv("PIP_RETRIES", "1")
    with pytest.raises(ClusterError, match="pip does not reach its index; make the bundle where"):
        make_bundle(ORIN, tmp_path / "out")


def test_a_failed_call_leaves_the_old_bundle(index: Path, tmp_path: Path) -> None:
    first = make_bundle(ORIN, tmp_path / "out")
    remove_rich(index)
    (tmp_path / "out/wheels/rich-99-py3-none-any.whl").unlink()
    with pytest.raises(ClusterError):
        make_bundle(ORIN, tmp_path / "out")
    assert read_bundle(tmp_path / "out") == first


def test_a_directory_with_something_else_is_left_alone(index: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/thesis.tex").write_text("mine")
    with pytest.raises(ClusterError, match="out: is there and no bundle; name another place"):
        make_bundle(ORIN, tmp_path / "out")
    assert (tmp_path / "out/thesis.tex").read_text() == "mine"


def test_a_place_that_cannot_be_written(index: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ClusterError, match="cannot be written: Not a directory"):
        make_bundle(ORIN, tmp_path / "file/sub/out")
