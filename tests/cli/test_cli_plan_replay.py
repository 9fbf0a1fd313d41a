"""A leader's journal replayed over the committed tables: equal, or every difference by its row."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import typer
from decided import LAB, day

from prism_edge import tables
from prism_edge.cli.plan_replay import SHOWN, replay
from prism_edge.energy.journal import Journal, decisions
from prism_edge.energy.rows import DecisionRow
from prism_edge.errors import JournalError
from prism_edge.schedule.events import Started, from_json
from prism_edge.schedule.replay import costs_by_model
from prism_edge.tables.digest import digest

DAY = tuple(day(costs_by_model(tables.read(LAB)), digest(LAB)))
ASKED = [number for number, row in enumerate(DAY, start=1) if row.plan is not None]

Run = Callable[..., str]


def new(path: Path) -> Journal:
    return Journal.open(path, cluster="lab", kind="lab", power={})


def written(path: Path, rows: Iterable[DecisionRow] = DAY) -> Path:
    with new(path) as journal:
        for row in rows:
            journal.decision(row)
    return path


def spoil(path: Path, statement: str, *values: object) -> None:
    connection = sqlite3.connect(path)
    assert connection.execute(statement, values).rowcount == 1
    connection.commit()
    connection.close()


def told(decisions: int, equal: int, other_plan: int = 0, other_why: int = 0) -> str:
    return (
        f"over the tables they were taken by ({digest(LAB)}): {decisions} decisions replayed, "
        f"{equal} equal, {other_plan} with another plan, {other_why} with another reason only"
    )


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return written(tmp_path / "journal.sqlite")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """What replay prints, having ended with ``code``."""

    def go(journal: Path, profile: Path = LAB, *, as_json: bool = False, code: int = 0) -> str:
        with pytest.raises(typer.Exit) if code else contextlib.nullcontext() as ended:
            replay(journal, profile, as_json)
        assert ended is None or ended.value.exit_code == code
        return capsys.readouterr().out

    return go


def test_a_journal_replays_equal_over_the_tables_it_was_decided_by(run: Run, journal: Path) -> None:
    out = run(journal)
    first, head, *plans = out.splitlines()
    assert first == told(len(ASKED), len(ASKED))
    assert head.split() == ["plan", "recorded", "replayed"]
    assert len(plans) > 2
    for line in plans:
        _, recorded, replayed = line.split()
        assert recorded == replayed
    found = json.loads(run(journal, as_json=True))
    assert found["decisions"] == found["equal"] == len(ASKED)
    assert (found["other_plan"], found["other_why"], found["not_replayed"]) == (0, 0, 0)
    assert found["digest"] == digest(LAB)
    assert [start["same_tables"] for start in found["starts"]] == [True]
    assert sum(counts["recorded"] for counts in found["plans"].values()) == len(ASKED)


def test_another_decision_is_shown_beside_the_recorded_one(run: Run, journal: Path) -> None:
    row = ASKED[7]
    spoil(
        journal, "UPDATE decisions SET plan = 'voltage:p=3', why = 'a whim' WHERE number = ?", row
    )
    out = run(journal, code=1).splitlines()
    assert out[0] == told(len(ASKED), len(ASKED) - 1, other_plan=1)
    assert out[1].startswith(f"row {row}, 2026-09-21T")
    for part in ("vit-b16, batch ", "197 tokens on edge-1", "link "):
        assert part in out[1]
    was = DAY[row - 1]
    assert out[2:4] == ["  recorded  voltage:p=3: a whim", f"  replayed  {was.plan}: {was.why}"]
    (item,) = json.loads(run(journal, as_json=True, code=1))["differences"]
    assert item["row"] == row
    assert item["recorded"] == {"plan": "voltage:p=3", "why": "a whim"}
    assert item["replayed"] == {"plan": was.plan, "why": was.why}
    assert item["link"]["bandwidth_bps"] > 0


def test_plans_that_differ_are_shown_before_reasons_that_differ(run: Run, tmp_path: Path) -> None:
    doubted = [dataclasses.replace(row, why=row.why and "a whim") for row in DAY]
    last = ASKED[-1]
    doubted[ASKED[-2] - 1] = DAY[ASKED[-2] - 1]
    doubted[last - 1] = dataclasses.replace(DAY[last - 1], plan="voltage:p=3")
    journal = written(tmp_path / "journal.sqlite", doubted)
    out = run(journal, code=1)
    assert told(len(ASKED), 1, other_plan=1, other_why=len(ASKED) - 2) in out
    assert f"the first {SHOWN} differences:" in out
    assert out.count("\n  recorded  ") == SHOWN
    assert out.index(f"row {last}, ") < out.index(f"row {ASKED[0]}, ")


def test_other_tables_say_what_would_have_been_decided(
    run: Run, journal: Path, tmp_path: Path
) -> None:
    """One cell changed: differences are information, and the first line says which tables."""
    other = Path(shutil.copytree(LAB, tmp_path / "other"))
    lines = (other / "compute.csv").read_text().splitlines()
    cells = [line.split(",") for line in lines]
    at = cells[0].index("latency_s")
    alone = ["vit-b16", "4", "197", "197"]
    for cell in cells[1:]:
        if cell[1:5] == alone:
            cell[at] = str(float(cell[at]) / 10)
    (other / "compute.csv").write_text("\n".join(map(",".join, cells)) + "\n")
    out = run(journal, other).splitlines()
    assert out[0].startswith(f"OTHER TABLES ({digest(LAB)}, not {digest(other)}), so no error")
    found = json.loads(run(journal, other, as_json=True))
    assert found["other_plan"] > 0
    assert [start["same_tables"] for start in found["starts"]] == [False]


def test_what_was_decided_over_these_tables_comes_before_what_was_not(
    run: Run, tmp_path: Path
) -> None:
    """A journal that saw two profiles; only the differences over the present one are errors."""
    costs = costs_by_model(tables.read(LAB))
    before = [dataclasses.replace(row, why=row.why and "a whim") for row in day(costs, "older")]
    path = written(tmp_path / "journal.sqlite", [*before, *DAY])
    out = run(path).splitlines()
    assert out[0] == told(len(ASKED), len(ASKED))
    assert out[1].startswith("OTHER TABLES (older, not ")
    assert "decided: 60 decisions replayed, 0 equal, 0 with another plan, 60 with" in out[1]
    row = len(before) + ASKED[2]
    spoil(path, "UPDATE decisions SET why = 'a whim' WHERE number = ?", row)
    out = run(path, code=1).splitlines()
    assert out[0] == told(len(ASKED), len(ASKED) - 1, other_why=1)
    assert out[3].startswith(f"row {row}, ")


def test_a_start_without_tables_is_not_worth_a_word(run: Run, tmp_path: Path) -> None:
    without = dataclasses.replace(DAY[0], event=DAY[0].event.replace(digest(LAB), "none"))
    out = run(written(tmp_path / "journal.sqlite", [without, *DAY]))
    assert out.startswith(told(len(ASKED), len(ASKED)))
    assert "OTHER TABLES" not in out


def test_a_damaged_event_costs_what_follows_it_and_is_told(run: Run, journal: Path) -> None:
    row = ASKED[5]
    spoil(journal, "UPDATE decisions SET event = '{' WHERE number = ?", row)
    with new(journal) as again:
        for decision in DAY:
            again.decision(decision)
    out = run(journal, code=1)
    assert told(5 + len(ASKED), 5 + len(ASKED)) in out
    assert f"row {row}: not a decision event: " in out
    assert f"; decisions not replayed from there: {len(ASKED) - 5}\n" in out


def test_a_journal_whose_beginning_was_taken_away_replays_from_the_next_start(
    run: Run, tmp_path: Path
) -> None:
    out = run(written(tmp_path / "journal.sqlite", [*DAY[3:], *DAY]))
    assert out.startswith(told(len(ASKED), len(ASKED)))
    assert "row 1: the journal begins after the start; decisions not replayed" in out


def test_a_journal_without_decisions_is_refused(journal: Path, tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="holds no decision; a leader records one for every"):
        replay(written(tmp_path / "empty", []), LAB, False)
    with pytest.raises(JournalError, match="holds no decision"):
        replay(written(tmp_path / "started", DAY[:1]), LAB, False)
    spoil_table = sqlite3.connect(journal)
    spoil_table.execute("DROP TABLE decisions")
    spoil_table.close()
    with pytest.raises(JournalError, match="holds no decision"):
        replay(journal, LAB, False)


WRITER = """
import sys
from pathlib import Path
from decided import LAB, day
from prism_edge import tables
from prism_edge.energy.journal import Journal
from prism_edge.schedule.replay import costs_by_model
from prism_edge.tables.digest import digest

journal = Journal.open(Path(sys.argv[1]), cluster="lab", kind="lab", power={}, flush_every_s=0.01)
for number, row in enumerate(day(costs_by_model(tables.read(LAB)), digest(LAB), turns=10**6)):
    journal.decision(row)
    print(number, flush=True)
"""


def test_what_a_killed_leader_had_written_replays(run: Run, tmp_path: Path) -> None:
    """And its successor goes on in the same file, with a start of its own."""
    path = tmp_path / "journal.sqlite"
    argv = [sys.executable, "-c", WRITER, str(path)]
    environment = {"PYTHONPATH": str(Path(__file__).parents[1])}
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=environment) as leader:
        assert leader.stdout is not None
        assert leader.stdout.readline()  # so the journal is there
        while all(row.plan is None for _, row in decisions(path)):
            assert leader.stdout.readline()
        leader.kill()
    assert leader.returncode == -signal.SIGKILL
    before = json.loads(run(path, as_json=True))
    assert before["decisions"] == before["equal"] > 0
    assert before["not_replayed"] == 0
    written(path)
    after: dict[str, Any] = json.loads(run(path, as_json=True))
    assert after["decisions"] == after["equal"] == before["decisions"] + len(ASKED)
    assert len(after["starts"]) == 2
    assert sum(isinstance(from_json(row.event), Started) for _, row in decisions(path)) == 2
