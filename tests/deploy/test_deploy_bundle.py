"""A bundle is what it promises, or says which file is not."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from little_index import write

from prism_edge.deploy.bundle import Bundle, Wheel, read_bundle, write_bundle
from prism_edge.errors import ClusterError

OWN = "prism_edge-1.0-py3-none-any.whl"
RICH = "rich-15.0-py3-none-any.whl"


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """Two small wheels for an Orin."""
    paths = [
        write(tmp_path / "wheels", name, ver)
        for name, ver in (("prism-edge", "1.0"), ("rich", "15.0"))
    ]
    made = Bundle(
        directory=tmp_path,
        python="3.10",
        machine="aarch64",
        pins={"torch": "2.5.0a0+872d972e41.nv24.8"},
        wheels={
            path.name: Wheel(
                sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
                bytes=path.stat().st_size,
                unpacked_bytes=1,
                name=path.name.partition("-")[0].replace("_", "-"),
                version=path.name.split("-")[1],
            )
            for path in paths
        },
        own=OWN,
    )
    write_bundle(made, tmp_path)
    return made


def test_it_is_read_as_it_was_written(bundle: Bundle) -> None:
    found = read_bundle(bundle.directory)
    assert found == bundle
    assert found.version == "1.0"
    assert set(found.third_party) == {RICH}
    assert found.local(RICH).path.read_bytes()
    assert not any(map(found.problem, found.wheels))


def test_a_wheel_that_is_another_is_said_to_be(bundle: Bundle) -> None:
    path = bundle.directory / "wheels" / RICH
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert str(bundle.problem(RICH)).startswith("has another sha256 (")
    path.write_bytes(data[:-1])
    assert bundle.problem(RICH) == f"has {len(data) - 1} bytes and not {len(data)}"
    path.unlink()
    assert bundle.problem(RICH) == "is missing"


def change(key: str, value: object) -> Callable[[dict[str, Any]], None]:
    def do(content: dict[str, Any]) -> None:
        content[key] = value

    return do


def drop_hash(content: dict[str, Any]) -> None:
    del content["wheels"][RICH]["sha256"]


def bytes_as_text(content: dict[str, Any]) -> None:
    content["wheels"][RICH]["bytes"] = "12"


def climb(content: dict[str, Any]) -> None:
    content["wheels"]["../../evil.whl"] = content["wheels"][RICH]


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (change("schema", 2), "schema 2, this prism-edge reads 1; make it again with prism-edge"),
        (change("prism_edge", "other.whl"), "'other.whl' is no wheel of it"),
        (change("wheels", []), "not what a bundle has"),
        (drop_hash, "not what a bundle has .*sha256"),
        (bytes_as_text, "not what a bundle has .*bytes = '12'"),
        (climb, "'../../evil.whl' is no wheel of it"),
    ],
)
def test_another_bundle_json_is_refused(
    bundle: Bundle, edit: Callable[[dict[str, Any]], None], message: str
) -> None:
    path = bundle.directory / "bundle.json"
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))
    with pytest.raises(ClusterError, match=message) as caught:
        read_bundle(bundle.directory)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"schema": 1}'])
def test_no_bundle_json_is_refused(bundle: Bundle, text: str) -> None:
    (bundle.directory / "bundle.json").write_text(text)
    with pytest.raises(ClusterError, match="not what a bundle has"):
        read_bundle(bundle.directory)


def test_a_directory_that_is_no_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match=r"no bundle \(No such file or directory: bundle.json\)"):
        read_bundle(tmp_path)


@pytest.mark.parametrize(
    ("python", "machine", "torch", "message"),
    [
        ("3.10.12", "aarch64", "2.5.0a0+872d972e41.nv24.08", None),
        ("3.12.3", "aarch64", "2.5.0a0+872d972e41.nv24.8", "Python 3.10, the board has 3.12"),
        ("3.10.12", "x86_64", "2.5.0a0+872d972e41.nv24.8", "aarch64, the board is x86_64"),
        ("3.10.12", "aarch64", "2.5.0", "torch 2.5.0a0+872d972e41.nv24.8, it has 2.5.0"),
        ("3.10.12", "aarch64", None, "torch 2.5.0a0+872d972e41.nv24.8, it has none"),
    ],
)
def test_it_fits_the_board_it_was_made_for_and_no_other(
    bundle: Bundle, python: str, machine: str, torch: str | None, message: str | None
) -> None:
    pins = {"numpy": "1.26.4", **({"torch": torch} if torch else {})}
    found = bundle.misfits(python, machine, pins)
    assert bool(found) == (message is not None)
    assert message is None or found[0].endswith(message)
