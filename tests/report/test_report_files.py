"""Files are written whole, or a sentence says what stood in the way."""

from __future__ import annotations

import csv
import io
import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
from synthetic_journal import ACTS, synthetic, without, write_journal
from synthetic_profile import synthetic_profile
from typer.testing import CliRunner

from prism_edge import tables
from prism_edge.cli import app
from prism_edge.errors import JournalError, PrismError, TableError
from prism_edge.report.files import as_csv, as_json, write_report
from prism_edge.report.numbers import numbers

SHORT = synthetic(ACTS[:2])
RUN = CliRunner()


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("journal") / "journal.db"
    write_journal(path, SHORT)
    return path


def test_json_holds_the_same_numbers() -> None:
    report = numbers(SHORT, synthetic_profile())
    found = json.loads(as_json(report))
    assert (
        found["groups"][0]["adaptive"]["latency"]["p50_s"]
        == report.groups[0].adaptive.latency.p50_s
    )  # type: ignore[union-attr]
    assert found["groups"][1]["plans"] == {"split:p=2": 12}
    assert found["limits"] == list(report.limits)
    assert found["power"] == "modelled"
    assert len(found["batches"]) == len(SHORT.requests)
    assert found["costs"]["checks"][0]["predicted_s"] > 0
    assert found["costs"]["accuracy"][0]["value"] == 0.986


def test_json_never_holds_what_is_not_json() -> None:
    def constant(name: str) -> None:
        raise AssertionError(name)

    json.loads(as_json(numbers(SHORT)), parse_constant=constant)
    assert math.isnan(json.loads("NaN"))  # negative control: the parser would have let it pass


def test_the_command_writes_both_and_prints_where(journal: Path, tmp_path: Path) -> None:
    tables.write(tmp_path / "profile", synthetic_profile())
    page, numbers_file = tmp_path / "r.html", tmp_path / "r.json"
    done = RUN.invoke(
        app,
        [
            "report",
            str(journal),
            "--profile",
            str(tmp_path / "profile"),
            "--output",
            str(page),
            "--json",
            str(numbers_file),
        ],
    )
    assert done.exit_code == 0, done.output
    assert done.output.split() == [str(page), str(numbers_file)]
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert "Cost tables" in page.read_text(encoding="utf-8")
    assert json.loads(numbers_file.read_text(encoding="utf-8"))["answered"] == 108


def test_a_missing_journal_or_profile_is_said(journal: Path, tmp_path: Path) -> None:
    gone = RUN.invoke(app, ["report", str(tmp_path / "none.db")])
    assert isinstance(gone.exception, JournalError)
    page = tmp_path / "r.html"
    command = ["report", str(journal), "--profile", str(tmp_path / "none"), "--output", str(page)]
    assert isinstance(RUN.invoke(app, command).exception, TableError)
    assert not page.exists()


def test_a_file_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(PrismError, match=r"cannot be written .*; name another file"):
        write_report(numbers(SHORT), tmp_path / "no" / "r.html")


@pytest.mark.parametrize("package", ["matplotlib", "jinja2"])
def test_a_missing_extra_is_named(package: str, journal: Path, tmp_path: Path) -> None:
    code = (
        f"import sys; sys.modules[{package!r}] = None\n"
        "from prism_edge.cli import main\n"
        f"sys.argv = ['prism-edge', 'report', {str(journal)!r}, '--output', 'r.html']\n"
        "main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == (
        f"error: a report needs {package}, which is not installed; "
        "run: pip install 'prism-edge[report]'\n"
    )
    assert not (tmp_path / "r.html").exists()


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; import prism_edge.cli.report\n"
        "print([n for n in ('matplotlib', 'jinja2', 'numpy', 'sqlite3') if n in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"


def test_csv_has_a_line_for_every_plan_and_unknown_is_empty() -> None:
    report = numbers(without(SHORT, "samples"))
    rows = list(csv.DictReader(io.StringIO(as_csv(report))))
    assert [row["plan"] for row in rows] == [plan.plan for plan in report.plans]
    first = report.plans[0].series.latency
    assert first is not None
    assert float(rows[0]["latency_p50_s"]) == first.p50_s
    assert rows[0]["energy_j"] == rows[0]["latency_p99_s"] == ""
    assert as_csv(numbers(without(SHORT, "requests"))).count("\n") == 1


def test_a_profile_of_the_journals_model_adds_its_decision_map(tmp_path: Path) -> None:
    write_journal(tmp_path / "j.db", synthetic(ACTS[:1]))
    profile = Path(__file__).parents[2] / "profiles" / "lab"
    page = tmp_path / "r.html"
    command = ["report", str(tmp_path / "j.db"), "--profile", str(profile), "--output", str(page)]
    assert RUN.invoke(app, command).exit_code == 0
    text = page.read_text(encoding="utf-8")
    assert "What the policy decides where" in text
    assert '<section id="map-0">' in text
    assert "#map-0 .cells{grid-template" in text
