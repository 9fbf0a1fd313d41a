"""``prism-edge infer FILES``: directories, stdin, a camera; a line each, and a summary."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from twin_daemon import serving

from prism_edge.cli import main

Run = Callable[..., tuple[int, str, str]]
COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    def call(*options: object, stdin: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["prism-edge", "infer", *map(str, options)])
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return call


@pytest.fixture(scope="module")
def daemon() -> Iterator[str]:
    with serving() as url:
        yield url


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """red.png and green.png, and below them blue.jpg and two rows in two.npz."""
    at = tmp_path_factory.mktemp("photos")
    (at / "more").mkdir()
    for name, place in (("red", at), ("green", at)):
        Image.new("RGB", (9, 9), COLOURS[name]).save(place / f"{name}.png")
    Image.new("RGB", (9, 9), COLOURS["blue"]).save(at / "more" / "blue.jpg")
    np.savez(at / "more" / "two.npz", pixel_values=np.ones((2, 3, 4, 4), np.float32))
    (at / "notes.txt").write_text("no image")
    return at


def answers(out: str) -> dict[str, list[int]]:
    """Top classes by file name."""
    rows = [json.loads(line) for line in out.splitlines()]
    return {Path(row["name"]).name: row["outputs"]["logits"]["top"] for row in rows}


def test_a_directory_is_answered_file_by_file(run: Run, daemon: str, photos: Path) -> None:
    where = ("--url", daemon, "--model", "colours", photos)
    code, out, err = run(*where, "--json", "--concurrency", 3)
    assert code == 0, err
    assert answers(out) == {"red.png": [0], "green.png": [1], "blue.jpg": [2], "two.npz": [0, 0]}
    assert "4 answered, 0 failed, 0 dropped" in err
    assert "4 x split:p=2" in err
    code, out, err = run(*where, "--plan", "local")
    assert code == 0
    lines = out.splitlines()
    assert [Path(line.split()[0]).name for line in lines] == [
        *("green.png", "blue.jpg", "two.npz", "red.png")
    ]
    assert "class 1 " in lines[0]
    assert "  local  " in lines[0]
    assert "(and 1 more)" in lines[2]


def test_lines_of_stdin_are_paths_or_objects(run: Run, daemon: str, photos: Path) -> None:
    pixels = np.zeros((1, 3, 4, 4))
    pixels[0, 2] = 1
    lines = [
        str(photos / "green.png"),
        "",
        json.dumps({"id": "mine", "inputs": {"pixel_values": pixels.tolist()}, "plan": "local"}),
        json.dumps({"file": str(photos / "red.png")}),
    ]
    code, out, err = run(
        "--url", daemon, "--model", "colours", "-", "--json", stdin="\n".join(lines)
    )
    assert code == 0, err
    assert answers(out) == {"green.png": [1], "mine": [2], "red.png": [0]}
    assert json.loads(out.splitlines()[1])["plan"] == "local"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("/no/such.png", "no such file"),
        ("{", "line 1: not JSON"),
        ("{}", "one of file, text and inputs"),
        ('{"inputs": {"nope": [1]}}', "nope is none of pixel_values"),
        ('{"inputs": {"pixel_values": ["a"]}}', "pixel_values: could not convert"),
        ('{"text": "hello"}', "no text"),
    ],
)
def test_one_bad_line_does_not_stop_the_others(
    run: Run, daemon: str, photos: Path, line: str, expected: str
) -> None:
    stdin = f"{line}\n{photos / 'red.png'}\n"
    code, out, err = run("--url", daemon, "--model", "colours", "-", "--json", stdin=stdin)
    assert code == 1
    bad, good = (json.loads(text) for text in out.splitlines())
    assert expected in bad["error"]
    assert good["outputs"]["logits"]["top"] == [0]
    assert "1 answered, 1 failed, 0 dropped" in err


def test_a_camera_goes_round_its_files(run: Run, daemon: str, photos: Path) -> None:
    options = ("--rate", 100, "--seconds", 0.5, "--json")
    code, out, err = run("--url", daemon, "--model", "colours", photos / "red.png", *options)
    assert code == 0, err
    assert set(map(tuple, answers(out).values())) == {(0,)}
    assert " dropped" in err


@pytest.mark.parametrize(
    ("options", "code", "expected"),
    [
        (["a.png", "--image", "b.png"], 2, "or FILES"),
        (["a.png", "--seconds", "1"], 2, "with --rate and without -"),
        (["-", "--rate", "1", "--seconds", "1"], 2, "without -"),
        (["a.png", "--output", "o.npz"], 2, "without --output"),
        (["{empty}"], 1, "holds no images"),
    ],
)
def test_misuse_is_said(
    run: Run, daemon: str, tmp_path: Path, options: list[str], code: int, expected: str
) -> None:
    filled = [option.format(empty=tmp_path) for option in options]
    got, out, err = run("--url", daemon, "--model", "colours", *filled)
    assert (got, out) == (code, "")
    assert expected in err


def test_ctrl_c_prints_what_came_of_it(daemon: str, photos: Path) -> None:
    with subprocess.Popen(
        [
            *(sys.executable, "-m", "prism_edge", "infer", "--url", daemon),
            *("--model", "colours", "-", "--json"),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{photos / 'red.png'}\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["plan"] == "split:p=2"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "1 answered, 0 failed, 0 dropped" in err
    assert "Traceback" not in err
