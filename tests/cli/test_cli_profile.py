"""``prism-edge profile`` from the command line, on a small paced cluster."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import checkpoints
import pytest

from prism_edge import tables

Run = Callable[..., tuple[int, str, str]]
CLUSTER = """
[cluster]
name = "two"
kind = "{kind}"
leader = "edge-1"
profiles = "tables"
[[boards]]
name = "edge-1"
address = "127.77.9.1"
power = "none"
[[boards]]
name = "edge-2"
address = "127.77.9.2"
power = "none"
[link]
rate_bps = 100e6
"""
SECOND = """[[boards]]
name = "edge-2"
address = "127.77.9.2"
power = "none"
"""


@pytest.fixture
def cluster(tmp_path: Path) -> Path:
    checkpoints.write(tmp_path / "vit", *checkpoints.vit())
    (tmp_path / "cluster.toml").write_text(CLUSTER.format(kind="paced"))
    return tmp_path / "cluster.toml"


@pytest.mark.gloo
def test_profile_writes_tables_and_says_where(run: Run, cluster: Path) -> None:
    code, out, err = run(
        *("profile", "--cluster", cluster, "--model", f"v={cluster.parent / 'vit'}"),
        *("--quick", "--batches", "2,1", "--l", "3", "--json"),
    )
    assert code == 0, err
    said = json.loads(out)
    assert said["directory"] == str(cluster.parent / "tables")
    profile = tables.read(cluster.parent / "tables")
    assert said["rows"] == {
        table: len(getattr(profile, table)) for table in ("compute", "staging", "link", "request")
    }
    assert all(said["rows"].values())
    assert said["warnings"] == list(profile.warnings)
    assert said["tightness"]["worst"] >= said["tightness"]["median"] >= 0
    assert said["tightness"]["worst_cell"].split()[0] in ("compute", "link", "request")
    assert profile.sweep["l"] == "3"
    assert " s left " in err or " %  " in err  # progress, on stderr only


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (["profile", "--cluster", "{dir}/none.toml"], 2, "none.toml does not exist"),
        (["profile", "--cluster", "{toml}"], 2, "no model to measure"),
        (
            ["profile", "--cluster", "{toml}", "--model", "v={dir}/vit", "--batches", "1,x"],
            2,
            "1,x",
        ),
        (["profile", "--cluster", "{toml}", "--model", "v={dir}/vit", "--l", "0"], 2, "--l"),
        (["profile", "--cluster", "{toml}", "--refine"], 2, "give --max-seconds as well"),
        (["profile"], 2, "--cluster is needed"),
        (
            ["profile", "--cluster", "{boards}", "--model", "v={dir}/vit"],
            2,
            "no ssh in cluster.toml",
        ),
    ],
)
def test_misuse_is_named_before_anything_is_started(
    run: Run, cluster: Path, arguments: list[str], code: int, expected: str
) -> None:
    boards = cluster.parent / "boards.toml"
    boards.write_text(CLUSTER.format(kind="boards"))
    places = {"dir": cluster.parent, "toml": cluster, "boards": boards}
    found, out, err = run(*(argument.format(**places) for argument in arguments))
    assert (found, out) == (code, "")
    assert expected in err
    assert "Traceback" not in err


@pytest.mark.gloo
def test_a_model_that_is_none_is_named(run: Run, cluster: Path) -> None:
    missing = f"v={cluster.parent / 'none'}"
    code, out, err = run("profile", "--quick", "--cluster", cluster, "--model", missing)
    assert (code, out) == (1, "")
    assert "board edge-" in err
    assert "does not exist" in err
    assert not (cluster.parent / "tables").exists()


@pytest.mark.gloo
def test_a_run_out_of_time_says_how_to_go_on_and_goes_on(run: Run, cluster: Path) -> None:
    text = cluster.read_text().replace(SECOND, "")
    cluster.write_text(text)
    command = ["profile", "--cluster", cluster, "--model", f"v={cluster.parent / 'vit'}"]
    command += ["--batches", "1,256", "--l", "2", "--json"]  # of 256: seconds by themselves
    code, out, err = run(*command, "--max-seconds", 1)
    assert code == 1, err
    *_, last = err.splitlines()
    assert last == (
        "error: not finished: time was up; to go on: "
        + shlex.join(["prism-edge", *map(str, command), "--max-seconds", "1", "--resume"])
    )
    first = json.loads(out)
    assert first["stopped"] == "time was up"
    assert first["rows"]["staging"]
    partial = tables.read(cluster.parent / "tables")
    assert any(last.rpartition(": ")[2] in text for text in partial.warnings)

    code, out, err = run(*command)
    assert (code, out) == (2, "")
    assert "a run that has not ended is kept there" in err

    code, out, err = run(*command, "--resume")
    assert code == 0, err
    second = json.loads(out)
    assert second["stopped"] is None
    assert second["rows"]["staging"] == first["rows"]["staging"]
    whole = tables.read(cluster.parent / "tables")
    assert set(partial.staging) == set(whole.staging)
    code, out, err = run(*command, "--resume")  # nothing is left to do
    assert (code, err) == (0, "")
    assert json.loads(out)["rows"] == second["rows"]
