"""``prism-edge infer`` answers as Hugging Face does, and says what is wrong where it cannot."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from twin_daemon import serving

from prism_edge.cli import main
from prism_edge.cli.infer_outputs import readable, softmax, summary

REFERENCE = Path(__file__).parents[1] / "families" / "reference.py"
WORDS = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]", "small", "boards", "answer", "together"]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """(exit code, stdout, stderr) of the command."""

    def go(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["prism-edge", "infer", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            main()
        out = capsys.readouterr()
        return int(caught.value.code or 0), out.out, out.err

    return go


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoints with sharp random weights, inputs, and Hugging Face's answers."""
    root = tmp_path_factory.mktemp("reference")
    done = subprocess.run(
        [sys.executable, str(REFERENCE), str(root)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return root


def recorded(directory: Path, kind: str, tmp_path: Path) -> tuple[Path, dict[str, Any], Any]:
    """The inputs as an .npz of arguments, the expected outputs, and the positions that count."""
    with np.load(directory / f"{kind}.npz") as held:
        given = {key[3:]: held[key] for key in held.files if key.startswith("in.")}
        expected = {key[4:]: held[key] for key in held.files if key.startswith("out.")}
        real = held["real"].astype(bool) if "real" in held.files else ...
    np.savez(tmp_path / "in.npz", **given)
    return tmp_path / "in.npz", expected, real


def largest_error(path: Path, expected: dict[str, Any], real: Any) -> float:
    with np.load(path) as found:
        assert set(found.files) == set(expected)
        return max(
            float(np.abs(found[name] - value)[real].max()) for name, value in expected.items()
        )


@pytest.mark.gloo
@pytest.mark.parametrize(
    ("model", "kind", "plan"),
    [
        ("vit", "bytes", "voltage:p=2"),
        ("vit", "normalised", "prism:p=3,l=9"),
        ("bert", "right", "voltage:p=3"),
        ("bert-bare", "right", "prism:p=2,l=11"),
        ("gpt2", "left", "prism:p=2,l=11"),
        ("gpt2", "right", "split:p=3"),
    ],
)
def test_local_processes_answer_as_hugging_face_does(
    run: Run, reference: Path, tmp_path: Path, model: str, kind: str, plan: str
) -> None:
    given, expected, real = recorded(reference / model, kind, tmp_path)
    code, out, err = run(
        *("--model", reference / model, "--plan", plan, "--local-cluster", 3),
        *("--inputs", given, "--output", tmp_path / "out.npz", "--json"),
    )
    assert code == 0, err
    said = json.loads(out)
    assert said["plan"].startswith(plan)
    assert said["why"] is None
    assert said["seconds"] > 0
    assert said["wire_bytes"] > 0
    assert said["output"] == str(tmp_path / "out.npz")
    assert largest_error(tmp_path / "out.npz", expected, real) < 1e-4


@pytest.mark.gloo
def test_an_approximation_is_seen_to_be_one(run: Run, reference: Path, tmp_path: Path) -> None:
    given, expected, real = recorded(reference / "vit", "bytes", tmp_path)
    code, out, _ = run(
        *("--model", reference / "vit", "--plan", "prism:p=2,l=2,dtype=fp16"),
        *("--local-cluster", 2, "--inputs", given, "--output", tmp_path / "out.npz"),
    )
    assert code == 0
    assert "prism:p=2,l=2,dtype=fp16" in out
    assert "answer 2: class" in out
    assert largest_error(tmp_path / "out.npz", expected, real) > 1e-2


@pytest.mark.gloo
@pytest.mark.parametrize(
    ("options", "code", "expected"),
    [
        (["--inputs", "{tmp}/none.npz"], 1, "none.npz: no such file"),
        (["--inputs", "{tmp}/other.npz"], 1, "inputs are ['pixels']"),
        (["--inputs", "{tmp}/small.npz"], 1, "pixel_values has shape [1, 3, 8, 8]"),
        (["--inputs", "{tmp}/in.npz", "--plan", "prism:p=2,l=99"], 2, "99 segments"),
        (["--inputs", "{tmp}/in.npz", "--output", "{tmp}/no/out.npz"], 1, "cannot be written"),
    ],
)
def test_bad_inputs_are_named(
    run: Run, reference: Path, tmp_path: Path, options: list[str], code: int, expected: str
) -> None:
    recorded(reference / "vit", "bytes", tmp_path)
    np.savez(tmp_path / "other.npz", pixels=np.zeros((1, 3, 40, 40), np.uint8))
    np.savez(tmp_path / "small.npz", pixel_values=np.zeros((1, 3, 8, 8), np.uint8))
    found, out, err = run(
        *("--model", reference / "vit", "--local-cluster", 2),
        *(option.format(tmp=tmp_path) for option in options),
    )
    assert (found, out) == (code, "")
    assert expected in err
    assert err.startswith("error: ")
    assert "Traceback" not in err


@pytest.mark.gloo
@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (None, "does not exist"),
        ({}, "no config.json"),
        ({"config.json": '{"model_type": "resnet"}'}, "supported: vit, bert, gpt2"),
        ({"config.json": "{"}, "config.json cannot be read"),
        ({"config.json": '{"model_type": "vit"}'}, "holds no weights"),
    ],
)
def test_a_model_that_is_none_is_named(
    run: Run, tmp_path: Path, files: dict[str, str] | None, expected: str
) -> None:
    np.savez(tmp_path / "in.npz", pixel_values=np.zeros((1, 3, 8, 8), np.uint8))
    directory = tmp_path / "model"
    if files is not None:
        directory.mkdir()
        for name, text in files.items():
            (directory / name).write_text(text)
    code, _, err = run("--model", directory, "--local-cluster", 1, "--inputs", tmp_path / "in.npz")
    assert code == 1
    assert expected in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--inputs", "a.npz"], "either --url"),
        (["--inputs", "a.npz", "--url", "http://x", "--local-cluster", "2"], "either --url"),
        (["--local-cluster", "2"], "one of --inputs, --image and --text"),
        (["--local-cluster", "2", "--image", "a.png"], "takes --inputs"),
        (["--url", "http://x", "--image", "a", "--text", "b"], "one of --inputs"),
        (["--local-cluster", "2", "--inputs", "a", "--plan", "warp:p=2"], "unknown method 'warp'"),
        (["--local-cluster", "0", "--inputs", "a"], "local-cluster"),
        (["--url", "http://x", "--text", "a", "--token-file", "/no/such"], "cannot be read"),
    ],
)
def test_misuse_exits_2_before_anything_is_started(
    run: Run, options: list[str], expected: str
) -> None:
    code, out, err = run("--model", "m", *options)
    assert (code, out) == (2, "")
    assert expected in err


def test_a_plan_for_more_ranks_than_there_are_is_misuse(run: Run, tmp_path: Path) -> None:
    np.savez(tmp_path / "in.npz", pixel_values=np.zeros((4, 3, 8, 8), np.uint8))
    code, _, err = run(
        *("--model", tmp_path, "--local-cluster", 2, "--plan", "split:p=3"),
        *("--inputs", tmp_path / "in.npz"),
    )
    assert code == 2
    assert "3 ranks, but --local-cluster is 2; give --local-cluster 3" in err


@pytest.fixture(scope="module")
def daemon() -> Iterator[str]:
    """The URL of a real server in front of a twin that classifies images and texts."""
    with serving() as url:
        yield url


def test_an_image_is_sent_as_pixels_and_classes_come_back(
    run: Run, daemon: str, tmp_path: Path
) -> None:
    from PIL import Image

    Image.new("RGB", (50, 50), (0, 255, 0)).save(tmp_path / "green.png")
    options = ("--url", daemon, "--model", "colours", "--image", tmp_path / "green.png")
    code, out, err = run(*options, "--json", "--plan", "local")
    assert code == 0, err
    said = json.loads(out)
    assert said["outputs"] == {"logits": {"shape": [1, 3], "top": [1]}}
    assert (said["plan"], said["why"]) == ("local", "as asked")
    code, out, _ = run(*options)
    assert code == 0
    assert "answer 0: class 1 " in out
    assert "plan       split:p=2" in out
    assert "why        the twin chose" in out


def test_an_npz_is_sent_as_it_is(run: Run, daemon: str, tmp_path: Path) -> None:
    pixels = np.zeros((2, 3, 4, 4), np.float32)
    pixels[0, 2], pixels[1, 0] = 1, 1
    np.savez(tmp_path / "in.npz", pixel_values=pixels)
    code, out, err = run(
        *("--url", daemon, "--model", "colours", "--inputs", tmp_path / "in.npz"),
        *("--output", tmp_path / "out.npz", "--json"),
    )
    assert code == 0, err
    assert json.loads(out)["outputs"]["logits"]["top"] == [2, 0]
    with np.load(tmp_path / "out.npz") as found:
        assert found["logits"].shape == (2, 3)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("transformers") is None, reason="needs transformers")
def test_a_text_goes_through_its_tokenizer(run: Run, daemon: str, tmp_path: Path) -> None:
    tokenizer = tmp_path / "tokenizer"
    tokenizer.mkdir()
    (tokenizer / "vocab.txt").write_text("\n".join(WORDS))
    (tokenizer / "config.json").write_text('{"model_type": "bert"}')
    (tokenizer / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer"}')
    done = subprocess.run(  # transformers is not imported into the tests' own process
        [
            *(sys.executable, "-m", "prism_edge", "infer", "--url", daemon, "--model", "words"),
            *("--text", "Boards answer together", "--tokenizer", str(tokenizer), "--json"),
            *("--output", str(tmp_path / "out.npz")),
        ],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "out.npz") as found:
        assert found["ids"].tolist() == [[1, 6, 7, 8, 2]]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--model", "nope", "--text", "a"], "answered 404: model nope"),
        (["--model", "words", "--text", "a"], "needs --tokenizer"),
        (["--model", "words", "--image", "a.png"], "no images"),
        (["--model", "colours", "--text", "a"], "no text"),
        (["--model", "colours", "--inputs", "{tmp}/bad.npz"], "answered 400: "),
        (["--model", "colours", "--image", "{tmp}/none.png"], "no such file"),
    ],
)
def test_what_a_daemon_refuses_is_said_in_its_words(
    run: Run, daemon: str, tmp_path: Path, options: list[str], expected: str
) -> None:
    np.savez(tmp_path / "bad.npz", pixels=np.zeros(3, np.float32))
    code, out, err = run("--url", daemon, *(option.format(tmp=tmp_path) for option in options))
    assert code in (1, 2)
    assert out == ""
    assert expected in err
    assert "Traceback" not in err


def test_a_daemon_that_is_not_there_is_named(run: Run) -> None:
    code, _, err = run("--url", "http://127.0.0.1:1", "--model", "m", "--text", "a")
    assert code == 1
    assert "http://127.0.0.1:1: " in err
    assert "is `prism-edge serve` running there" in err


def test_a_summary_names_classes_only_where_there_are_any() -> None:
    outputs = {
        "logits": np.array([[0.0, 2.0], [3.0, 1.0]], np.float32),
        "last_hidden_state": np.ones((2, 3, 4), np.float32),
    }
    assert summary(outputs) == {
        "logits": {"shape": [2, 2], "top": [1, 0]},
        "last_hidden_state": {"shape": [2, 3, 4]},
    }
    lines = readable(outputs)
    assert lines[0] == "answer 0: class 1 88.1 %  class 0 11.9 %"
    assert lines[2] == "last_hidden_state [2, 3, 4]: 1 1 1 1 1 1 1 1 ..."
    many = readable({"logits": np.zeros((20, 2), np.float32)})
    assert many[-1] == "... and 12 more answers"


def test_large_scores_are_shares_too() -> None:
    shares = softmax(np.array([1000.0, 1001.0], np.float32))
    assert shares.sum() == pytest.approx(1)
    assert shares[1] == pytest.approx(0.731, abs=1e-3)
