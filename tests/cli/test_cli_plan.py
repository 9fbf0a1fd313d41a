"""``prism-edge plan`` on profiles made of arithmetic: what it prints, and what it refuses."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from measured import BERT, profile

from prism_edge import tables
from prism_edge.cli import main

Run = Callable[..., str]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    tables.write(tmp_path / "lab", profile())
    return tmp_path / "lab"


@pytest.fixture
def run(
    directory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """Standard output of the command, or of stderr when it ends with ``code``."""

    def go(*arguments: str, code: int = 0, where: Path = directory) -> str:
        monkeypatch.setattr(
            sys, "argv", ["prism-edge", "plan", "--profile", str(where), *arguments]
        )
        with pytest.raises(SystemExit) as caught:
            main()
        assert caught.value.code == code
        out = capsys.readouterr()
        return out.err if code else out.out

    return go


def test_it_prints_every_candidate_and_the_choice(run: Run) -> None:
    out = run("--batch", "8", "--rate", "50mbit")
    for plan in ("local", "split:p=2", "prism:p=2,l=10,dtype=fp16", "voltage:p=2,dtype=fp32"):
        assert plan in out
    for word in ("total", "compute", "exchange", "in", "out", "link 50 Mbit/s given"):
        assert word in out
    chosen = [line for line in out.splitlines() if line.startswith("> ")]
    assert len(chosen) == 1
    assert out.splitlines()[-1].startswith(chosen[0].split()[1] + " predicted")
    totals = [line for line in out.splitlines() if line[2:].startswith(("local", "split", "prism"))]
    assert totals[0] == chosen[0], "not sorted by total"


def test_it_fits_100_columns(run: Run) -> None:
    for arguments in (("--batch", "8"), ("--batch", "8", "--rate", "100kbit")):
        table = run(*arguments).splitlines()[:-1]
        assert max(map(len, table)) <= 100


def test_at_1_mbit_it_says_why_not(run: Run) -> None:
    out = run("--batch", "8", "--rate", "1mbit")
    assert out.splitlines()[-1].startswith(("local predicted", "split:p=2 predicted"))
    assert "over 1 Mbit/s alone takes" in out


def test_the_same_as_json(run: Run) -> None:
    made = json.loads(run("--batch", "4", "--json"))
    assert made["plan"] == made["why"].split()[0]
    assert made["link"]["source"] == "table"
    totals = {item["plan"]: item["latency_s"] for item in made["considered"]}
    assert made["plan"] == min(totals, key=lambda plan: totals[plan])
    for item in made["considered"]:
        assert sum(item["terms"].values()) == pytest.approx(item["latency_s"])
        assert item["energy_j"] is None


def test_what_was_not_profiled_is_answered_locally_with_the_reason(run: Run) -> None:
    out = run("--batch", "64")
    assert out.splitlines()[-1].startswith("local: not profiled: n=197")
    made = json.loads(run("--batch", "64", "--json"))
    assert made["plan"] == "local"
    assert made["considered"][0]["latency_s"] is None


def test_fewer_boards_and_exact_plans(run: Run) -> None:
    alone = json.loads(run("--boards", "1", "--json"))
    assert [item["plan"] for item in alone["considered"]] == ["local"]
    exact = json.loads(run("--exact", "--batch", "2", "--json"))
    assert all(item["exact"] for item in exact["considered"])


def test_energy_has_a_column_when_it_was_measured(run: Run, tmp_path: Path) -> None:
    tables.write(tmp_path / "power", profile(idle_w=2.0, busy_w=7.0))
    assert " J" in run(where=tmp_path / "power")
    assert " J" not in run()


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--model", "other"], 2, "--model 'other' was not profiled; this profile holds net"),
        (["--tokens", "12"], 2, "--tokens 12, allowed for net is 197"),
        (["--boards", "3"], 2, "--boards 3, profiled are 2"),
        (["--rate", "fast"], 2, "rate 'fast'"),
        (["--objective", "beauty"], 2, "allowed is latency, energy, edp"),
        (["--batch", "0"], 2, "--batch"),
    ],
)
def test_misuse(run: Run, arguments: list[str], code: int, says: str) -> None:
    assert says in run(*arguments, code=code)


def test_lengths_of_a_model_that_takes_text(run: Run, tmp_path: Path) -> None:
    tables.write(tmp_path / "text", profile(BERT, tokens=(128, 512)))
    assert "300 tokens" in run("--tokens", "300", where=tmp_path / "text")
    assert "1 to 512" in run("--tokens", "513", code=2, where=tmp_path / "text")


def test_tables_that_cannot_be_used(run: Run, directory: Path, tmp_path: Path) -> None:
    assert "no such file" in run(code=1, where=tmp_path / "nowhere")
    compute = directory / "compute.csv"
    compute.write_text(compute.read_text()[:-5])
    said = run(code=1)
    assert said.startswith(f"error: {compute}:")
    assert "Traceback" not in said


def test_a_rate_without_a_profiled_link_says_too_little(run: Run, tmp_path: Path) -> None:
    tables.write(tmp_path / "alone", dataclasses.replace(profile(), link=()))
    assert "no link was profiled" in run("--rate", "50mbit", code=1, where=tmp_path / "alone")
    assert "local predicted" in run(where=tmp_path / "alone")


def test_two_models_must_be_told_apart(run: Run, tmp_path: Path) -> None:
    made = profile()
    second = dataclasses.replace(made.models[0], name="twin")
    tables.write(tmp_path / "two", dataclasses.replace(made, models=(*made.models, second)))
    assert "--model is needed; this profile holds net, twin" in run(code=2, where=tmp_path / "two")


def test_deciding_loads_nothing_heavy(directory: Path) -> None:
    program = (
        "import sys; from prism_edge.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'pandas', 'fastapi', 'matplotlib', 'transformers'} & set(sys.modules)\n"
        "print('heavy:', sorted(heavy))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "plan", "--profile", str(directory)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "heavy: []"


def test_a_map_is_written_where_it_is_asked_for(run: Run, tmp_path: Path) -> None:
    page = tmp_path / "map.html"
    assert run("--map", "--out", str(page)).splitlines() == [str(page)]
    assert "net: the plan to choose" in page.read_text()
    said = json.loads(run("--map", "--out", str(tmp_path), "--json"))
    assert [Path(name).name for name in said["files"]] == ["decision-map.html", "decision-map.png"]
    assert "split:p=2" in said["plans"]
    assert all(Path(name).stat().st_size > 0 for name in said["files"])


def test_a_map_that_cannot_be_drawn_is_refused(run: Run, tmp_path: Path) -> None:
    assert "give --map too" in run("--out", "map.html", code=2)
    assert "name a .html or .png file" in run("--map", "--out", "map.pdf", code=2)
    tables.write(tmp_path / "alone", dataclasses.replace(profile(), link=()))
    assert "no map over link rates" in run("--map", code=1, where=tmp_path / "alone")


def test_a_budget_of_accuracy_leaves_out_plans_of_which_nobody_knows(run: Run) -> None:
    made = json.loads(run("--max-accuracy-drop", "0.01", "--json"))
    assert made["plan"] == "local"
    out = {item["plan"]: item.get("reason") for item in made["considered"]}
    assert out["prism:p=2,l=10,dtype=fp16"] is not None
    assert out["voltage:p=2,dtype=fp32"] is None


def test_a_journal_is_replayed_instead(run: Run, tmp_path: Path) -> None:
    assert "no.db" in run("--replay", str(tmp_path / "no.db"), code=1)
