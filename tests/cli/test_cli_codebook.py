"""``prism-edge codebook`` leaves a file that the model's plans can use, or says why it cannot."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import checkpoints
import numpy as np
import pytest
from PIL import Image

from prism_edge.families.codebook_file import codebook_fingerprint, read_codebooks

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def vit(tmp_path: Path) -> Path:
    return checkpoints.write(tmp_path / "vit", *checkpoints.vit())


@pytest.fixture
def pixels(tmp_path: Path) -> Path:
    images = np.random.default_rng(0).integers(0, 256, (20, 3, 32, 32), np.uint8)
    np.savez(tmp_path / "in.npz", pixel_values=images)
    return tmp_path / "in.npz"


def test_the_file_serves_the_model(run: Run, vit: Path, pixels: Path) -> None:
    options = ("codebook", "--model", vit, "--g", 4, "--k", 32, "--data", pixels, "--samples", 200)
    code, out, err = run(*options, "--json", "--seed", 3)
    assert code == 0, err
    said = json.loads(out)
    found = read_codebooks(vit, 4, 32)
    assert (found.blocks, found.g, found.k, found.width, found.tap) == (2, 4, 32, 16, "after")
    assert said["file"] == str(vit / "astra-g4-k32.safetensors")
    assert said["fingerprint"] == codebook_fingerprint(vit / "astra-g4-k32.safetensors")
    assert (said["samples"], said["seed"], said["bytes_per_token"]) == (180, 3, 2.5)
    assert len(said["blocks"]) == 2
    for block in said["blocks"]:
        assert 0 < block["relative_error_fitted"] < block["relative_error"] < 1
        assert 0 < block["codes_used"] <= 1
        assert 1 <= block["perplexity"] <= 32


@pytest.mark.gloo
def test_processes_answer_by_the_file(run: Run, vit: Path, pixels: Path, tmp_path: Path) -> None:
    infer = ("infer", "--model", vit, "--inputs", pixels, "--local-cluster", 3, "--json")
    code, _, err = run(*infer, "--plan", "astra:p=3,g=4,k=32")
    assert code == 1
    assert "astra-g4-k32.safetensors: no such file" in err
    assert run("codebook", "--model", vit, "--g", 4, "--k", 32, "--data", pixels)[0] == 0
    answers, sent = {}, {}
    for plan in ("local", "astra:p=3,g=4,k=32"):
        code, out, err = run(*infer, "--plan", plan, "--output", tmp_path / "out.npz")
        assert code == 0, err
        said = json.loads(out)
        assert (said["plan"], said["why"]) == (plan, None)
        sent[plan] = said["wire_bytes"]
        with np.load(tmp_path / "out.npz") as held:
            answers[plan] = held["logits"]
    exact, found = answers.values()
    assert 0 < np.abs(found - exact).max() / exact.std() < 3
    # 6, 5 and 5 patches: a worker hears 11 with its input, then everybody hears all others'
    codes = 20 * (11 + 11 + 2 * 16) * 4 * 5 // 8  # 20 images, 4 groups, 5 bits
    pixels_sent, replicas = 20 * 10 * 192, 2 * 20 * 16 * 4
    assert sent["astra:p=3,g=4,k=32"] == pixels_sent + codes + replicas


def test_what_is_there_is_kept_unless_told_otherwise(run: Run, vit: Path, pixels: Path) -> None:
    options = ("codebook", "--model", vit, "--g", 2, "--k", 8, "--data", pixels)
    code, out, _ = run(*options)
    assert code == 0
    assert "block    error" in out
    path = vit / "astra-g2-k8.safetensors"
    assert f"{path} ({codebook_fingerprint(path)})" in out
    before = path.read_bytes()
    code, _, err = run(*options, "--seed", 1)
    assert code == 2
    assert f"{path} is there already; --force replaces it" in err
    assert path.read_bytes() == before
    assert run(*options, "--seed", 1, "--force", "--tap", "before")[0] == 0
    assert path.read_bytes() != before
    assert read_codebooks(vit, 2, 8).tap == "before"


def test_the_same_seed_makes_the_same_file(run: Run, vit: Path, pixels: Path) -> None:
    options = (
        "codebook",
        "--model",
        vit,
        "--g",
        2,
        "--k",
        8,
        "--data",
        pixels,
        "--force",
        "--json",
    )
    files = [json.loads(run(*options, "--seed", seed)[1])["fingerprint"] for seed in (4, 4, 5)]
    assert files[0] == files[1] != files[2]


def test_a_folder_of_images_will_do(run: Run, vit: Path, tmp_path: Path) -> None:
    source = np.random.default_rng(0)
    for index in range(6):
        folder = tmp_path / "images" / str(index % 2)
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(source.integers(0, 256, (40, 50, 3), np.uint8)).save(
            folder / f"{index}.png"
        )
    (tmp_path / "images" / "labels.txt").write_text("no image")
    options = ("codebook", "--model", vit, "--g", 4, "--k", 8, "--json")
    code, out, err = run(*options, "--data", tmp_path / "images")
    assert code == 0, err
    assert json.loads(out)["samples"] == 87  # 6 images of 16 patches, every tenth kept apart
    (tmp_path / "empty").mkdir()
    code, _, err = run(*options, "--force", "--data", tmp_path / "empty")
    assert (code, "holds no images" in err) == (1, True)


def test_texts_come_as_token_ids(run: Run, tmp_path: Path) -> None:
    model = checkpoints.write(tmp_path / "bert", *checkpoints.bert())
    ids = np.random.default_rng(0).integers(0, 50, (10, 12))
    mask = np.ones((10, 12), np.int64)
    mask[:5, 6:] = 0
    np.savez(tmp_path / "in.npz", input_ids=ids, attention_mask=mask)
    code, out, err = run(
        *("codebook", "--model", model, "--g", 4, "--k", 8),
        *("--data", tmp_path / "in.npz", "--json"),
    )
    assert code == 0, err
    assert json.loads(out)["samples"] == 72  # 5 x 5 + 5 x 11 tokens, every tenth kept apart


def test_labels_are_no_inputs(run: Run, vit: Path, tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (8, 3, 32, 32), np.uint8)
    np.savez(tmp_path / "in.npz", pixel_values=images, labels=np.arange(8) % 7)
    options = ("codebook", "--model", vit, "--g", 4, "--k", 8, "--json", "--limit", 4)
    code, out, err = run(*options, "--data", f"npz:{tmp_path / 'in.npz'}")
    assert code == 0, err
    assert json.loads(out)["samples"] == 58  # 4 images of 16 patches, every tenth kept apart


def test_with_steps_a_model_is_made_that_was_trained_with_its_codes(
    run: Run, vit: Path, pixels: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    options = ("codebook", "--model", vit, "--g", 4, "--k", 8, "--tap", "before", "--data", pixels)
    code, said, err = run(*options, "--steps", 3, "--out", out, "--rate", "1e-4", "--seed", 2)
    assert code == 0, err
    assert "codes g=4,k=8, block by block" in said
    assert read_codebooks(out, 4, 8).tap == "before"
    about = json.loads((out / "finetuned.json").read_text())
    assert (about["plans"], about["seed"]) == ("astra:p=2..4,g=4,k=8,tap=before", 2)
    assert len(about["codes_before"]["g=4,k=8"]) == len(about["codes"]["g=4,k=8"]) == 2
    assert list(vit.glob("astra-*")) == []
    code, said, err = run(
        "evaluate", "--model", out, "--data", pixels, "--plans", about["plans"].replace("2..4", "3")
    )
    assert code == 0, err
    assert "astra:p=3,g=4,k=8" in said


@pytest.mark.parametrize(
    ("options", "code", "expected"),
    [
        (["--g", "5"], 2, "--g 5: does not divide the model's width 16; allowed: 1, 2, 4, 8, 16"),
        (["--g", "4", "--k", "1"], 2, "--k"),
        (["--g", "4", "--tap", "beside"], 2, "--tap 'beside': allowed are after and before"),
        (["--g", "4", "--steps", "3"], 2, "--steps and --out go together"),
        (["--g", "4", "--steps", "3", "--out", "o", "--force"], 2, "--force replaces a file"),
        (["--g", "4", "--data", "none.npz"], 1, "none.npz: no such file"),
        (["--g", "4", "--model", "nowhere"], 1, "nowhere does not exist"),
    ],
)
def test_what_is_wrong_is_named_before_anything_is_run(
    run: Run, vit: Path, pixels: Path, options: list[str], code: int, expected: str
) -> None:
    found, out, err = run("codebook", "--model", vit, "--data", pixels, *options)
    assert (found, out) == (code, "")
    assert expected in err
    assert "Traceback" not in err
    assert list(vit.glob("astra-*")) == []
