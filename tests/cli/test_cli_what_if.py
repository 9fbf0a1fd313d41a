"""Clusters that do not exist yet: predicted, and flagged as such wherever they are shown."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable
from pathlib import Path

import checkpoints
import pytest
from measured import BERT, GPT2, VIT, profile

from prism_edge import tables
from prism_edge.cli import main
from prism_edge.cli.sizes import SIZES
from prism_edge.cli.what_if import WhatIf, parse_what_if
from prism_edge.errors import SettingsError

Run = Callable[..., str]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Standard output of ``prism-edge plan --what-if``, or of stderr when it ends with ``code``."""
    tables.write(tmp_path / "two", profile())

    def go(what_if: str, *arguments: str, code: int = 0) -> str:
        command = ["prism-edge", "plan", "--profile", str(tmp_path / "two"), "--what-if", what_if]
        monkeypatch.setattr(sys, "argv", [*command, *arguments])
        with pytest.raises(SystemExit) as caught:
            main()
        assert caught.value.code == code
        out = capsys.readouterr()
        return out.err if code else out.out

    return go


def test_values_are_read_and_nothing_else() -> None:
    assert parse_what_if("") == WhatIf()
    assert parse_what_if("boards=4, rate=300mbit,batch=16") == WhatIf(
        boards=4, rate="300mbit", batch=16
    )
    for text, says in (
        ("board=4", "is it 'boards'"),
        ("speed=2", "unknown key 'speed'"),
        ("boards", "expected boards=..."),
        ("boards=", "expected boards=..."),
        ("boards=0", "whole number from 1"),
        ("batch=two", "whole number from 1"),
        ("batch=2,batch=3", "batch is given twice"),
    ):
        with pytest.raises(SettingsError, match=says):
            parse_what_if(text)


def test_boards_that_do_not_exist_are_copies_and_flagged(run: Run) -> None:
    out = run("boards=4", "--batch", "8")
    assert "edge-1, edge-2 and 2 copies of edge-2" in out
    assert "what if: 4 boards, 2 measured" in out
    assert "~ extrapolated, not measured" in out
    made = json.loads(run("boards=4", "--batch", "8", "--json"))
    assert made["supposed"] == ["4 boards, 2 measured"]
    flags = {item["plan"]: item["extrapolated"] for item in made["considered"]}
    assert flags["split:p=4"]
    assert not flags["split:p=2"]
    assert made["plan"] == "split:p=4"


def test_what_exists_is_not_flagged(run: Run) -> None:
    made = json.loads(run("boards=2,batch=4,rate=50mbit", "--json"))
    assert made["supposed"] == []
    assert made["link"]["source"] == "given"
    assert not any(item["extrapolated"] for item in made["considered"])


def test_fewer_boards_are_those_that_were_measured(run: Run) -> None:
    made = json.loads(run("boards=1", "--json"))
    assert [item["plan"] for item in made["considered"]] == ["local"]
    assert made["supposed"] == []


def test_a_larger_batch_is_guessed_with_a_wider_interval(run: Run) -> None:
    def width(made: str) -> float:
        local = json.loads(made)["considered"][0]
        assert local["plan"] == "local"
        return float(local["high_s"] / local["low_s"])

    measured, guessed = run("batch=8", "--json"), run("batch=32", "--json")
    assert json.loads(guessed)["supposed"] == ["batch 32, measured up to 8"]
    assert json.loads(guessed)["considered"][0]["extrapolated"]
    assert width(guessed) > width(measured)


def test_a_model_that_was_not_measured_is_scaled(run: Run) -> None:
    made = json.loads(run("model=vit-l16", "--json"))
    assert made["supposed"] == ["vit-l16, scaled by operations from net"]
    assert all(item["extrapolated"] for item in made["considered"])
    measured = json.loads(run("model=net", "--json"))
    larger = made["considered"][0]["latency_s"] / measured["considered"][0]["latency_s"]
    assert 3 < larger < 4  # 1024 against 768 wide, 24 against 12 blocks


@pytest.mark.parametrize(
    ("what_if", "arguments", "says"),
    [
        ("boards=9", [], "allowed is 1 to 8"),
        ("model=resnet", [], "not a known size (vit-s16, "),
        ("model=gpt2,tokens=4096", [], "allowed for gpt2 is 1 to 1024"),
        ("rate=fast", [], "rate 'fast'"),
        ("boards=4", ["--model", "other"], "--model 'other' was not profiled"),
    ],
)
def test_what_cannot_be_imagined_is_refused(
    run: Run, what_if: str, arguments: list[str], says: str
) -> None:
    assert says in run(what_if, *arguments, code=2)


def test_a_map_of_what_does_not_exist_says_so(run: Run, tmp_path: Path) -> None:
    target = tmp_path / "map.html"
    assert run("boards=3", "--map", "--out", str(target)).splitlines() == [str(target)]
    assert "what if: 3 boards, 2 measured" in target.read_text()


def test_sizes_are_those_of_the_models_as_they_are_read(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from prism_edge.families import load

    assert SIZES["vit-b16"] == VIT
    assert SIZES["bert-base"] == BERT
    sizes = {"width", "heads", "blocks", "ffn", "tokens", "token_bytes", "output_fixed"}
    for name, made in (
        ("vit-b16", checkpoints.vit()),
        ("bert-base", checkpoints.bert("BertForSequenceClassification")),
        ("gpt2", checkpoints.gpt2()),
    ):
        shape = load(checkpoints.write(tmp_path / name, *made)).shape
        known = dataclasses.asdict(SIZES[name])
        for key, value in dataclasses.asdict(shape).items():
            if key not in sizes and not key.startswith("output"):
                assert known[key] == value, (name, key)
    assert GPT2.output_fixed == SIZES["gpt2"].output_per_token
